"""A count of bytes, and a limit on requests at work, before anything else looks at a request.

Bytes are counted as they arrive, before anything parses them: Content-Length alone is not believed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from forgetcast.errors import Busy, LimitExceeded
from service.api.problems import problem_response
from service.settings import Settings

Scope = dict[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ALWAYS_ANSWERED = {"/healthz", "/readyz", "/metrics"}


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
        request_id = scope["request_id"]
        send = _labelled(send, request_id)
        if self._at_work >= self._settings.concurrent_requests and scope["path"] not in ALWAYS_ANSWERED:
            busy = Busy(f"{self._at_work} requests are at work; try again in a moment", retry_after=1)
            await problem_response(busy, scope["path"], request_id)(scope, receive, send)
            return
        self._at_work += 1
        try:
            await self._counted(scope, receive, send)
        finally:
            self._at_work -= 1

    async def _counted(self, scope: Scope, receive: Receive, send: Send) -> None:
        most = self._most_bytes(scope)
        n_bytes, answered, exceeded = 0, False, False

        async def counting_receive() -> Message:
            nonlocal n_bytes, exceeded
            message = await receive()
            n_bytes += len(message.get("body", b""))
            if n_bytes > most:
                exceeded = True
                raise TooManyBytes
            return message

        async def watched_send(message: Message) -> None:
            nonlocal answered
            if exceeded:
                return  # the framework's own answer to the broken-off body
            answered = True
            await send(message)

        with contextlib.suppress(TooManyBytes):
            await self._app(scope, counting_receive, watched_send)
        if exceeded and not answered:
            error = LimitExceeded(f"the body is larger than the {most} bytes admitted here")
            await problem_response(error, scope["path"], scope["request_id"], 413)(scope, receive, send)

    def _most_bytes(self, scope: Scope) -> int:
        """Uploads are PUT, or a training run's measurements; any other body is a small JSON document."""
        is_upload = scope["method"] == "PUT" or scope["path"].endswith("/measurements")
        return self._settings.max_upload_bytes if is_upload else self._settings.max_body_bytes


def _labelled(send: Send, request_id: str) -> Send:
    """Every answer says which request it answers, and is never taken for another kind of content."""

    async def labelled(message: Message) -> None:
        if message["type"] == "http.response.start":
            labels = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
            message["headers"] = [*message.get("headers", []), *labels]
        await send(message)

    return labelled
