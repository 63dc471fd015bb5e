"""Reads that were asked before, answered before the framework: half of a warm read's time is parsing its URL again.

Beside that nothing is different here: the caller was admitted and counted, the versions are read from the database, and
whatever is not in memory under these versions goes the full way.
"""

from __future__ import annotations

from forgetcast import schemas
from service.api.answers import from_memory
from service.api.asgi import App, Receive, Scope, Send, header
from service.api.compression import SMALLEST
from service.api.dependencies import Parts


class WarmReads:
    """ASGI layer inside the one that says who asks."""

    def __init__(self, app: App, parts: Parts) -> None:
        self._app = app
        self._parts = parts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "GET" and await self._answered(scope, receive, send):
            return
        await self._app(scope, receive, send)

    async def _answered(self, scope: Scope, receive: Receive, send: Send) -> bool:
        known = self._parts.questions.of(scope)
        if known is None or not scope["caller"].may(schemas.Scope.READ):
            return False
        response = await from_memory(self._parts, known.question, header(scope, b"if-none-match") or None)
        if response is None:
            return False
        if len(response.body) >= SMALLEST and "gzip" in header(scope, b"accept-encoding"):
            return False
        response.headers["Vary"] = "Accept-Encoding"
        scope["route"], scope["path_params"] = known.route, known.path_params
        await response(scope, receive, send)
        return True
