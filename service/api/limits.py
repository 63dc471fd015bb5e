"""The outermost layer: a request id, a count of bytes, and a limit on requests at work.

Bytes are counted as they arrive, before anything parses them: Content-Length alone is not believed.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from forgetcast.errors import Busy, ForgetcastError, LimitExceeded
from service.api.problems import problem_response
from service.settings import Settings

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]

ALWAYS_ANSWERED = {"/healthz"}


class TooManyBytes(Exception):
    """More bytes came than the route takes."""


class Limits:
    """ASGI layer around the whole app."""

    def __init__(self, app: Any, settings: Settings) -> None:
        self._app = app
        self._settings = settings
        self._at_work = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = uuid.uuid4().hex
        if self._at_work >= self._settings.concurrent_requests and scope["path"] not in ALWAYS_ANSWERED:
            busy = Busy(f"{self._at_work} requests are at work; try again in a moment", retry_after=1)
            await problem_response(busy, scope["path"], request_id)(scope, receive, send)
            return
        self._at_work += 1
        try:
            await self._limited(scope, receive, send, request_id)
        finally:
            self._at_work -= 1

    async def _limited(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        settings = self._settings
        # Only uploads are PUT; everything else that has a body is a small JSON document.
        most = settings.max_upload_bytes if scope["method"] == "PUT" else settings.max_body_bytes
        if scope["method"] == "POST" and scope["path"].endswith("/measurements"):
            most = settings.max_upload_bytes
        n_bytes, answered, exceeded = 0, False, False

        async def counting_receive() -> dict[str, Any]:
            nonlocal n_bytes, exceeded
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > most:
                exceeded = True
                raise TooManyBytes
            return message

        async def labelled_send(message: dict[str, Any]) -> None:
            nonlocal answered
            if exceeded:
                return  # the framework's own answer to the broken-off body
            if message["type"] == "http.response.start":
                answered = True
                message.setdefault("headers", [])
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self._app(scope, counting_receive, labelled_send)
        except TooManyBytes:
            pass
        if exceeded and not answered:
            error: ForgetcastError = LimitExceeded(f"the body is larger than the {most} bytes admitted here")
            await problem_response(error, scope["path"], request_id, 413)(scope, receive, send)
