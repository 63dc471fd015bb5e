"""The outermost layer: a request id, and one log line and one count for every request."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Awaitable, Callable, MutableMapping
from http import HTTPMethod
from typing import Any

from service import metrics
from service.logs import bind, unbind_all

log = logging.getLogger(__name__)

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

KEY_ID = "forgetcast.key_id"  # in a request's scope, once its API key is known
ASKED_OFTEN = {"/healthz", "/readyz", "/metrics"}  # by machines; a line each would hide the others
METHODS = frozenset(HTTPMethod)
LONGEST_ID = 128


class AccessLog:
    """ASGI layer around everything: what it binds stands in every log line of the request."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["request_id"] = request_id = uuid.uuid4().hex
        unbind_all()
        bind(request_id=request_id)
        began = time.perf_counter()
        status = 500  # when nothing is sent, an error goes through here to the layer that answers it

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        finally:
            _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"] if scope["method"] in METHODS else metrics.OTHER
    metrics.REQUESTS.labels(method, route, str(status)).inc()
    metrics.REQUEST_SECONDS.labels(method, route).observe(seconds)
    level = logging.DEBUG if route in ASKED_OFTEN and status < 400 else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
    fields |= {"key_id": scope[KEY_ID]} if KEY_ID in scope else {}
    for name in ("task_id", "job_id"):
        if name in scope.get("path_params", {}):
            fields[name] = str(scope["path_params"][name])[:LONGEST_ID]
    log.log(level, "request", extra=fields)
