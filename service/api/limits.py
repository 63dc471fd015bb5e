"""Limits on what a request is sent in, bytes and seconds, and no answer that is not a problem.

Bytes are counted as they arrive, before anything parses them: Content-Length alone is not believed.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter

from forgetcast.errors import (
    ForgetcastError,
    Internal,
    InvalidRequest,
    LimitExceeded,
    RequestTimeout,
    UnsupportedMediaType,
)
from service.api.asgi import LISTS, SINGLE, App, Message, Receive, Scope, Send, header
from service.api.problems import Refused, problem_response
from service.settings import Settings

log = logging.getLogger(__name__)

MOST_URL_BYTES = 16_384
MOST_HEADER_BYTES = 32_768
BODY_GRACE = 30.0  # seconds before a body's rate counts


class Limits:
    """ASGI layer around the whole app."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self.settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope["most_bytes"] = self._most_bytes(scope)
        answer = _Answer(send, scope["request_id"])
        try:
            _check_head(scope)
            await self._app(scope, _Body(receive, scope, self.settings).receive, answer.send)
        except Refused as refused:
            await answer.with_problem(scope, refused.error, refused.status)
        except ForgetcastError as error:
            await answer.with_problem(scope, error, None)
        except Exception:
            log.exception("request %s failed", scope["request_id"])
            if answer.started:
                raise  # half an answer is out: the server closes the connection
            await answer.with_problem(scope, Internal(), None)

    def _most_bytes(self, scope: Scope) -> int:
        """Uploads are PUT, or a training run's measurements; any other body is a small JSON document."""
        is_upload = scope["method"] == "PUT" or scope["path"].endswith("/measurements")
        return self.settings.max_upload_bytes if is_upload else self.settings.max_body_bytes


def _check_head(scope: Scope) -> None:
    url_bytes = len(scope.get("raw_path") or scope["path"]) + len(scope["query_string"])
    if url_bytes > MOST_URL_BYTES:
        raise Refused(LimitExceeded(f"the URL has {url_bytes} bytes, at most {MOST_URL_BYTES} are read"), 414)
    header_bytes = sum(len(name) + len(value) + 4 for name, value in scope["headers"])
    if header_bytes > MOST_HEADER_BYTES:
        error = LimitExceeded(f"the headers have {header_bytes} bytes, at most {MOST_HEADER_BYTES} are read")
        raise Refused(error, 431)
    _check_lines(scope)
    if header(scope, b"content-encoding") not in ("", "identity"):
        raise UnsupportedMediaType("a compressed body is not read here; send it as it is")
    check_length(scope)


def _check_lines(scope: Scope) -> None:
    """Make one line of several that are one list (RFC 9110, 5.3). Raises InvalidRequest where only one may be."""
    times = Counter(name for name, _value in scope["headers"])
    for name in [name for name, count in times.items() if count > 1]:
        if name in SINGLE:
            raise InvalidRequest(f"the header {name.decode()} stands there {times[name]} times; send it once")
        if name in LISTS:
            joined = b", ".join(value for found, value in scope["headers"] if found == name)
            scope["headers"] = [pair for pair in scope["headers"] if pair[0] != name] + [(name, joined)]


def admit(scope: Scope, most_bytes: int) -> None:
    """Admit a body of at most so many bytes. Raises Refused where more are declared already."""
    scope["most_bytes"] = min(most_bytes, scope["most_bytes"])
    check_length(scope)


def check_length(scope: Scope) -> None:
    declared = header(scope, b"content-length")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > scope["most_bytes"]):
        raise _too_large(scope)


class _Body:
    """Counts a body's bytes, and the seconds in which the client is waited for."""

    def __init__(self, receive: Receive, scope: Scope, settings: Settings) -> None:
        self._receive = receive
        self._scope = scope
        self._idle = settings.body_idle.total_seconds()
        self._rate = settings.body_rate
        self._n_bytes = 0
        self._waited = 0.0
        self._complete = False

    async def receive(self) -> Message:
        """The next piece. Raises Refused."""
        if self._complete:
            return await self._receive()  # the end of the connection, which may be far off
        left = BODY_GRACE + self._n_bytes / self._rate - self._waited
        began = time.monotonic()
        try:
            message = await asyncio.wait_for(self._receive(), min(self._idle, left))
        except TimeoutError:
            raise Refused(RequestTimeout(self._too_slow(left)), 408) from None
        self._waited += time.monotonic() - began
        self._n_bytes += len(message.get("body", b""))
        self._complete = not message.get("more_body", False)
        if self._n_bytes > self._scope["most_bytes"]:
            raise _too_large(self._scope)
        return message

    def _too_slow(self, left: float) -> str:
        if left > self._idle:
            return f"no byte of the body came for {self._idle:g} seconds"
        return (
            f"the body comes too slowly: after {BODY_GRACE:g} seconds at least {self._rate} bytes a second are needed"
        )


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

    async def with_problem(self, scope: Scope, error: ForgetcastError, status: int | None) -> None:
        if not self.started:
            response = problem_response(error, scope["path"], scope["request_id"], status)
            await response(scope, _nothing_more, self.send)


async def _nothing_more() -> Message:
    return {"type": "http.disconnect"}


def _too_large(scope: Scope) -> Refused:
    return Refused(LimitExceeded(f"the body is larger than the {scope['most_bytes']} bytes admitted here"), 413)
