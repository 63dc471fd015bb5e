"""A service that answers what a test tells it to, and remembers what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2

Answer = httpx2.Response | BaseException | Callable[[httpx2.Request], httpx2.Response]

CREATED = "2026-11-23T12:00:00Z"


class Answers:
    """Answers requests in the order in which the answers were given; the last one goes on for ever."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self._answers: list[Answer] = []

    def will(self, *answers: Answer) -> None:
        self._answers += answers

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer(request) if callable(answer) else answer


def ok(content: Any, status: int = 200, headers: dict[str, str] | None = None) -> httpx2.Response:
    return httpx2.Response(status, json=content, headers=headers)


def problem(
    code: str, status: int, detail: str = "what happened", *, headers: dict[str, str] | None = None, **more: Any
) -> httpx2.Response:
    content = {
        "type": f"/problems/{code}",
        "code": code,
        "title": "a title",
        "status": status,
        "detail": detail,
        "instance": "/v1/x",
        "request_id": "req-1",
        "retryable": status == 503,
        **more,
    }
    kind = {"Content-Type": "application/problem+json"}
    return httpx2.Response(status, content=json.dumps(content), headers={**kind, **(headers or {})})


def page(data: list[Any], cursor: str | None = None) -> httpx2.Response:
    return ok({"object": "list", "data": data, "has_more": cursor is not None, "next_cursor": cursor})


def event_stream(*events: dict[str, Any], done: bool = True, comments: int = 0) -> httpx2.Response:
    """Server-sent events; without `done` the stream breaks off after the last of them."""
    lines = [f"id: {event['id']}\nevent: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events]
    lines += [": still here\n\n"] * comments
    lines += ["event: done\ndata: {}\n\n"] if done else []
    return httpx2.Response(200, content="".join(lines), headers={"Content-Type": "text/event-stream"})


def an_event(id: int, message: str = "", **data: Any) -> dict[str, Any]:
    return {
        "id": id,
        "type": "progress" if data else "message",
        "level": "info",
        "message": message,
        "data": data,
        "created_at": CREATED,
    }


def a_job(state: str = "succeeded", **changes: Any) -> dict[str, Any]:
    ended = state in ("succeeded", "failed", "cancelled")
    return {
        "id": "job_1",
        "task": "t",
        "measure": "probe",
        "n_examples": 30,
        "state": state,
        "terminal": ended,
        "attempt": 1,
        "max_attempts": 3,
        "cancel_requested": False,
        "progress": None,
        "error": None,
        "seconds": {"load": 1.5, "fine_tune": 20.0} if state == "succeeded" else None,
        "priority": 0,
        "hardware": "any",
        "created_at": CREATED,
        "started_at": "2026-11-23T12:00:02Z" if ended else None,
        "finished_at": "2026-11-23T12:00:30Z" if ended else None,
        **changes,
    }


def a_task(id: str = "t", **changes: Any) -> dict[str, Any]:
    return {
        "id": id,
        "matrix": "m",
        "dataset": "0" * 64,
        "measure": "probe",
        "design": "random",
        "size": 30,
        "probe_seed": 0,
        "seed": 1,
        "family": None,
        "n_examples": 2,
        "repeat_of": None,
        "known": False,
        "row_version": 0,
        "n_measured": 0,
        "job": "job_1",
        "created_at": CREATED,
        **changes,
    }
