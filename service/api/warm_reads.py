"""Reads that were asked before, answered before the framework: half of a warm read's time is parsing its URL again.

Beside that nothing is different here: the caller was admitted and counted, the versions are read from the database, and
whatever is not in memory under these versions goes the full way.
"""

from __future__ import annotations

from fastapi import Response
from starlette.concurrency import run_in_threadpool

from forgetcast import schemas
from service.api.answers import from_memory, validators
from service.api.asgi import App, Receive, Scope, Send, header
from service.api.compression import accepts_gzip, packed, packed_etag, pays
from service.api.dependencies import Parts
from service.api.questions import Question


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
        if accepts_gzip(scope) and pays(bytes(response.body), known.question.media_type):
            response = await self._packed(known.question, response)
        response.headers["Vary"] = "Accept-Encoding"
        scope["route"], scope["path_params"] = known.route, known.path_params
        await response(scope, receive, send)
        return True

    async def _packed(self, question: Question, plain: Response) -> Response:
        """The same answer compressed, which is done once for a question and its versions."""
        cache, tag = self._parts.cache, packed_etag(plain.headers["ETag"])
        body = cache.answer((question, tag))
        if body is None:
            body = await run_in_threadpool(packed, bytes(plain.body))
            cache.keep_answer((question, tag), body)
        headers = validators(tag) | {"Content-Encoding": "gzip"}
        return Response(body, media_type=question.media_type, headers=headers)
