"""The outermost layer: a request id, and one log line and one count for every request."""

from __future__ import annotations

import logging
import re
import time
import uuid
from http import HTTPMethod

from service import metrics
from service.api.asgi import App, Message, Receive, Scope, Send, header
from service.logs import bind, unbind_all

log = logging.getLogger(__name__)

REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")  # a caller may name its own
ASKED_OFTEN = {"/healthz", "/readyz", "/metrics"}  # by machines; a line each would hide the others
METHODS = frozenset(HTTPMethod)
LONGEST_ID = 128
CALLER_LEFT = 499  # nothing was answered; the number that nginx made known


class AccessLog:
    """ASGI layer around everything: what it binds stands in every log line of the request."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        named = header(scope, b"x-request-id")
        scope["request_id"] = request_id = named if REQUEST_ID.fullmatch(named) else uuid.uuid4().hex
        unbind_all()
        bind(request_id=request_id)
        began = time.perf_counter()
        status = CALLER_LEFT

        async def noting_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting_send)
        except Exception:
            status = 500  # the server answers it, or breaks off the answer
            raise
        finally:
            _note(scope, status, time.perf_counter() - began)


def _note(scope: Scope, status: int, seconds: float) -> None:
    route = getattr(scope.get("route"), "path", "unknown")
    method = scope["method"] if scope["method"] in METHODS else metrics.OTHER
    metrics.count_request(method, route, status, seconds)
    level = logging.DEBUG if route in ASKED_OFTEN and status < 400 else logging.INFO
    if not log.isEnabledFor(level):
        return
    fields = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
    caller = scope.get("caller")
    fields |= {"key_id": caller.key_id} if caller is not None and caller.key_id is not None else {}
    for name in ("task_id", "job_id"):
        if name in scope.get("path_params", {}):
            fields[name] = str(scope["path_params"][name])[:LONGEST_ID]
    # As log.log does, but for the search of the line in the code, which is always this one.
    log.handle(log.makeRecord(log.name, level, __file__, 0, "request", (), None, extra=fields))
