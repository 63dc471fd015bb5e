"""One matrix, one task that is measured, and what the service says of it."""

from __future__ import annotations

import json
from typing import Any

import httpx2

from tests.client.answers import CREATED, a_job, a_task, an_event, event_stream, ok, page, problem

VERSIONS: dict[str, Any] = {"matrix_version": 4, "row_version": 1, "model_version": 2}
QUALITY: dict[str, Any] = {
    "method": "blend",
    "matrix_version": 4,
    "n_tasks": 40,
    "n_probes": 30,
    "spearman": 0.84,
    "spearman_popularity": 0.71,
    "recall_5pct": 0.52,
    "recall_5pct_popularity": 0.31,
    "rmse": 0.081,
    "rmse_popularity": 0.102,
    "coverage": 0.9,
    "top_coverage": 0.88,
    "top_bias_share": -0.03,
    "domain_coverage": 0.91,
    "row_mean_coverage": None,
    "left_out": "families",
    "tasks_alone": {
        "spearman": 0.87,
        "spearman_popularity": 0.72,
        "recall_5pct": 0.58,
        "recall_5pct_popularity": 0.32,
        "rmse": 0.075,
        "rmse_popularity": 0.101,
        "coverage": 0.91,
    },
}
MATRIX: dict[str, Any] = {
    "id": "m",
    "upstream_set": "s",
    "model": "tiny",
    "model_revision": "a" * 64,
    "recipe": {"method": "full", "learning_rate": 1e-4, "steps": 12, "batch_size": 8, "max_tokens": 64},
    "setting": {},
    "version": 4,
    "n_tasks": 40,
    "n_examples": 3,
    "fitted_version": 4,
    "quality": QUALITY,
    "created_at": CREATED,
}
UPSTREAM_SET: dict[str, Any] = {
    "id": "s",
    "sealed": True,
    "n_examples": 3,
    "n_held_out": 1,
    "has_texts": True,
    "sha256": "b" * 64,
    "domains": {"poems": 2, "code": 1},
    "created_at": CREATED,
}
EXAMPLES = [
    {
        "id": "poems-01",
        "messages": [
            {"role": "user", "content": "A poem, please."},
            {"role": "assistant", "content": "The rain\nfalls softly on the roof of the old mill by the river"},
        ],
        "domain": "poems",
        "tags": [],
        "held_out": True,
    },
    {"id": "poems-02", "text": "Only a text.", "domain": "poems", "tags": [], "held_out": False},
    {"id": "code-01", "text": "print(1)", "domain": "code", "tags": [], "held_out": False},
]
FORECAST: dict[str, Any] = {
    **VERSIONS,
    "task": "t",
    "matrix": "m",
    "method": "blend",
    "level": 0.9,
    "n_tasks": 40,
    "n_examples": 3,
    "n_measured": 1,
    "row_mean": {"mean": 0.1, "low": 0.05, "high": 0.15},
    "mean_interval": {"mean": 0.2, "low": -0.1, "high": 0.5},
    "random_mean": {"mean": 0.2, "low": -0.1, "high": 0.5},
    "domains": [
        {"domain": "poems", "mean": 0.2, "low": 0.1, "high": 0.3, "n_examples": 2, "n_measured": 1},
        {"domain": "code", "mean": -0.01, "low": -0.02, "high": 0.0, "n_examples": 1, "n_measured": 0},
    ],
    "same_recipe": True,
    "unlike_known": True,
    "unlike_known_from": 3,
    "warnings": ["unlike_known: this task forgets unlike all known ones; only what was measured can be trusted"],
    "quality": QUALITY,
}


def _cell(example_id: str, place: int, forgetting: float, **changes: Any) -> dict[str, Any]:
    return {
        "example_id": example_id,
        "domain": example_id.partition("-")[0],
        "forgetting": forgetting,
        "low": forgetting - 0.05,
        "high": forgetting + 0.05,
        "place": place,
        "measured": False,
        "calibrated": True,
        "promised": True,
        **changes,
    }


FORGOTTEN: dict[str, Any] = {
    **VERSIONS,
    "task": "t",
    "matrix": "m",
    "level": 0.9,
    "data": [
        _cell("poems-01", 1, 0.4),
        _cell("poems-02", 2, 0.25, measured=True, low=0.25, high=0.25),
        _cell("code-01", 3, -0.01, calibrated=False, promised=False),
    ],
}
REPLAY_SET: dict[str, Any] = {
    "manifest": {
        **VERSIONS,
        "task": "t",
        "matrix": "m",
        "upstream_set": "s",
        "upstream_sha256": "b" * 64,
        "strategy": "sample",
        "size": 2,
        "temperature": 0.1,
        "seed": 0,
        "min_per_domain": 0,
        "max_weight": None,
        "effective_sample_size": 1.9,
        "kept_gain": None,
        "numpy_version": "2.4.6",
        "fence": None,
        "warnings": ["collapsed: about 1.9 examples hold nearly all weight"],
        "sha256": "c" * 64,
    },
    "data": [
        {"id": "poems-02", "weight": 0.7, "forgetting": 0.25, "domain": "poems", "text": "Only a text."},
        {"id": "code-01", "weight": 0.3, "forgetting": -0.01, "domain": "code", "text": "print(1)"},
    ],
}


Answer = httpx2.Response | BaseException


class Service:
    """A table of answers by method and path; of a list each in turn, the last for ever. The rest is unknown."""

    def __init__(self) -> None:
        self.requests: list[httpx2.Request] = []
        self.answers: dict[tuple[str, str], Answer | list[Answer]] = {
            ("GET", "/v1/caller"): ok({"key": None, "scopes": ["admin", "measure", "read", "submit"]}),
            ("GET", "/v1/matrices"): page([MATRIX]),
            ("GET", "/v1/matrices/m"): ok(MATRIX),
            ("GET", "/v1/upstream-sets/s"): ok(UPSTREAM_SET),
            ("GET", "/v1/upstream-sets/s/examples"): page(EXAMPLES),
            ("POST", "/v1/tasks"): ok(a_task(), 202),
            ("GET", "/v1/tasks"): page([a_task(), a_task("u", known=True), a_task("v", repeat_of="u")]),
            ("GET", "/v1/tasks/t"): ok(a_task()),
            ("GET", "/v1/tasks/t/forecast"): ok(FORECAST),
            ("GET", "/v1/tasks/t/forgotten"): ok(FORGOTTEN),
            ("GET", "/v1/tasks/t/replay-set"): ok(REPLAY_SET),
            ("GET", "/v1/jobs/job_1"): ok(a_job()),
            ("POST", "/v1/jobs/job_1/cancel"): ok(a_job("running", cancel_requested=True), 202),
        }
        self.events = [
            an_event(1, "claimed by worker-1"),
            an_event(2, phase="fine_tune", step=3, total=12, loss=2.5, eta_s=9.0),
        ]

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        request.read()
        self.requests.append(request)
        found = self.answers.get((request.method, request.url.path), self._unlisted(request))
        answer = found if not isinstance(found, list) else found.pop(0) if len(found) > 1 else found[0]
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def _unlisted(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/jobs/job_1/events":
            if "event-stream" in request.headers["Accept"]:
                return event_stream(*self.events)
            return page([event for event in self.events if event["id"] > int(request.url.params["after"])])
        if request.method == "PUT" and request.url.path.startswith("/v1/datasets/"):
            return ok({}, 201)
        return problem("task_not_found", 404, "no task has this id")

    def asked(self, method: str, path: str) -> list[httpx2.Request]:
        return [request for request in self.requests if (request.method, request.url.path) == (method, path)]

    def sent(self, method: str, path: str) -> Any:
        """The JSON of the only request of this kind."""
        (request,) = self.asked(method, path)
        return json.loads(request.content)
