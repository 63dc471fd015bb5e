"""A count of bytes and of seconds, a limit on requests at work, and no answer that is not a problem.

Bytes are counted as they arrive, before anything parses them: Content-Length alone is not believed.
"""

from __future__ import annotations

import asyncio
import logging

from forgetcast.errors import Busy, ForgetcastError, Internal, LimitExceeded, RequestTimeout, UnsupportedMediaType
from service.api.asgi import App, Message, Receive, Scope, Send, header
from service.api.problems import problem_response
from service.settings import Settings

log = logging.getLogger(__name__)

ALWAYS_ANSWERED = {"/healthz", "/readyz", "/metrics"}
MOST_URL_BYTES = 16_384
MOST_HEADER_BYTES = 32_768


class Refused(Exception):
    """The request is broken off, with this error and HTTP status."""

    def __init__(self, error: ForgetcastError, status: int) -> None:
        super().__init__(str(error))
        self.error = error
        self.status = status


class Slot:
    """A request's place among those at work; given back early by one that only waits for events."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._held = True
        limits.at_work += 1

    def wait(self) -> None:
        """Count as waiting from here on. Raises Busy when too many do."""
        if not self._held:
            return
        if self._limits.waiting >= self._limits.settings.waiting_requests:
            raise Busy(f"{self._limits.waiting} requests are waiting for events; poll instead", retry_after=5)
        self._leave()
        self._held = False
        self._limits.waiting += 1

    def close(self) -> None:
        if self._held:
            self._leave()
        else:
            self._limits.waiting -= 1

    def _leave(self) -> None:
        self._limits.at_work -= 1


class Limits:
    """ASGI layer around the whole app."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self.settings = settings
        self.at_work = 0
        self.waiting = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["most_bytes"] = self._most_bytes(scope)
        answer = _Answer(send, scope["request_id"])
        body = _Body(receive, scope, self.settings.body_idle.total_seconds())
        try:
            self._check_head(scope)
            if self.at_work >= self.settings.concurrent_requests and scope["path"] not in ALWAYS_ANSWERED:
                raise Busy(f"{self.at_work} requests are at work; try again in a moment", retry_after=1)
            await self._worked(scope, body, answer)
        except Refused as refused:
            await answer.with_problem(scope, refused.error, refused.status)
        except ForgetcastError as error:
            await answer.with_problem(scope, error, None)
        except Exception:
            log.exception("request %s failed", scope["request_id"])
            if answer.started:
                raise  # half an answer is out: the server closes the connection
            await answer.with_problem(scope, Internal(), None)

    async def _worked(self, scope: Scope, body: _Body, answer: _Answer) -> None:
        scope["slot"] = slot = Slot(self)
        try:
            await self._app(scope, body.receive, answer.unless(body))
        finally:
            slot.close()
        if body.refused is not None:  # the framework took it for an error of its own
            raise body.refused

    def _check_head(self, scope: Scope) -> None:
        url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
        if url_bytes > MOST_URL_BYTES:
            raise Refused(LimitExceeded(f"the URL has {url_bytes} bytes, at most {MOST_URL_BYTES} are read"), 414)
        header_bytes = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
        if header_bytes > MOST_HEADER_BYTES:
            error = LimitExceeded(f"the headers have {header_bytes} bytes, at most {MOST_HEADER_BYTES} are read")
            raise Refused(error, 431)
        if header(scope, b"content-encoding") not in ("", "identity"):
            raise UnsupportedMediaType("a compressed body is not read here; send it as it is")
        declared = header(scope, b"content-length")
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > scope["most_bytes"]):
            raise _too_large(scope)

    def _most_bytes(self, scope: Scope) -> int:
        """Uploads are PUT, or a training run's measurements; any other body is a small JSON document."""
        is_upload = scope["method"] == "PUT" or scope["path"].endswith("/measurements")
        return self.settings.max_upload_bytes if is_upload else self.settings.max_body_bytes


class _Body:
    """Counts a body's bytes, and the seconds in which none comes."""

    def __init__(self, receive: Receive, scope: Scope, idle: float) -> None:
        self._receive = receive
        self._scope = scope
        self._idle = idle
        self._n_bytes = 0
        self._complete = False
        self.refused: Refused | None = None

    async def receive(self) -> Message:
        if self._complete:
            return await self._receive()  # the end of the connection, which may be far off
        try:
            message = await asyncio.wait_for(self._receive(), self._idle)
        except TimeoutError:
            error = RequestTimeout(f"no byte of the body came for {self._idle:g} seconds")
            self.refused = Refused(error, 408)
            raise self.refused from None
        self._n_bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._n_bytes > self._scope["most_bytes"]:
            self.refused = _too_large(self._scope)
            raise self.refused
        return message


class _Answer:
    """Every answer says which request it answers, and is never taken for another kind of content."""

    def __init__(self, send: Send, request_id: str) -> None:
        self._send = send
        self._labels = [(b"x-request-id", request_id.encode()), (b"x-content-type-options", b"nosniff")]
        self.started = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.started = True
            message["headers"] = [*message.get("headers", []), *self._labels]
        await self._send(message)

    def unless(self, body: _Body) -> Send:
        """Send what the app sends, but not its own words about a body that was broken off."""

        async def send(message: Message) -> None:
            if body.refused is None:
                await self.send(message)

        return send

    async def with_problem(self, scope: Scope, error: ForgetcastError, status: int | None) -> None:
        if not self.started:
            response = problem_response(error, scope["path"], scope["request_id"], status)
            await response(scope, _nothing_more, self.send)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _too_large(scope: Scope) -> Refused:
    return Refused(LimitExceeded(f"the body is larger than the {scope['most_bytes']} bytes admitted here"), 413)
