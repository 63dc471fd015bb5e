"""HTTP/1.1 on one connection: what uvicorn answers itself is a problem too, and whatever is slow has an end."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from forgetcast.errors import ForgetcastError, InvalidRequest, RequestTimeout
from service.api.problems import MEDIA_TYPE, problem_body

HEAD_SECONDS = 10.0  # for the request line and the headers; a body has FORGETCAST_BODY_IDLE and FORGETCAST_BODY_RATE
LONGEST_HEAD = 48_000  # bytes; limits.py refuses less, with its own words
LINGER_SECONDS = 2.0  # in which a body that nobody wants any more is thrown away, so that its sender reads the answer
LINGER_BYTES = 1 << 20
TAKE_SECONDS = 30.0  # for the next 48 kB of an answer (what lies between asyncio's marks), and for the last of them
MOST_STRANGERS = 500  # connections that have shown no key; beyond this the oldest makes room


class Timer:
    """One thing that is to happen on a connection unless it is forgotten before."""

    def __init__(self, loop: asyncio.AbstractEventLoop, act: Callable[[], None]) -> None:
        self._loop, self._act = loop, act
        self._handle: asyncio.TimerHandle | None = None

    @property
    def runs(self) -> bool:
        return self._handle is not None

    def start(self, seconds: float) -> None:
        self.forget()
        self._handle = self._loop.call_later(seconds, self._act)

    def forget(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None


class Protocol(H11Protocol):
    """uvicorn's protocol, with problems for plain texts and an end for what comes or is taken too slowly."""

    def connection_made(self, transport: Any) -> None:
        self._since = time.monotonic()
        self._showed_key = False
        self._n_left_over = 0
        self._head = Timer(self.loop, self._head_did_not_come)
        self._leftover = Timer(self.loop, transport.close)
        self._taking = Timer(self.loop, self._answer_was_not_taken)
        super().connection_made(transport)
        self._make_room()
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()
        self._throw_away(len(data))

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._head, self._leftover, self._taking):
            timer.forget()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._taking.start(TAKE_SECONDS)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._await_taking()

    def on_response_complete(self) -> None:
        self._showed_key |= "caller" in self.scope
        super().on_response_complete()
        self._await_taking()
        if self._sends_what_nobody_wants:
            self._n_left_over = 0
            self._leftover.start(LINGER_SECONDS)

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidRequest("this is not an HTTP/1.1 request that can be read"), HTTPStatus.BAD_REQUEST)

    def _unsupported_upgrade_warning(self) -> None:
        """Whoever asks for a WebSocket gets the answer without one; a line in the log for each would fill it."""

    # Heads

    def _await_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._head.forget()
        elif not self._head.runs:
            self._head.start(HEAD_SECONDS)

    def _head_did_not_come(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(RequestTimeout(f"no request came within {HEAD_SECONDS:g} seconds"), HTTPStatus.REQUEST_TIMEOUT)

    # Bodies that are still sent after their answer

    @property
    def _sends_what_nobody_wants(self) -> bool:
        return self.conn.their_state is h11.SEND_BODY and self.cycle.response_complete

    def _throw_away(self, n_bytes: int) -> None:
        if not self._leftover.runs:
            return
        self._n_left_over += n_bytes
        if not self._sends_what_nobody_wants:
            self._leftover.forget()
        elif self._n_left_over > LINGER_BYTES:
            self.transport.close()

    # Answers that nobody takes

    def _await_taking(self) -> None:
        if self.transport.get_write_buffer_size():
            self._taking.start(TAKE_SECONDS)
        else:
            self._taking.forget()

    def _answer_was_not_taken(self) -> None:
        if self.transport.get_write_buffer_size():
            self.transport.abort()

    # Connections that showed no key

    @property
    def _is_strange(self) -> bool:
        return not self._showed_key and "caller" not in (self.scope or {})  # uvicorn begins with None

    def _make_room(self) -> None:
        if len(self.connections) <= MOST_STRANGERS:
            return
        strangers = [one for one in self.connections if isinstance(one, Protocol) and one._is_strange]
        if len(strangers) > MOST_STRANGERS:
            min(strangers, key=lambda one: one._since).transport.abort()

    def _refuse(self, error: ForgetcastError, status: HTTPStatus) -> None:
        if self.conn.our_state not in (h11.IDLE, h11.SEND_RESPONSE):  # half an answer is out
            self.transport.close()
            return
        request_id = uuid.uuid4().hex
        body = json.dumps(problem_body(error, "", request_id, status).model_dump()).encode()
        headers = [("content-type", MEDIA_TYPE), ("content-length", str(len(body))), ("connection", "close")]
        headers.append(("x-request-id", request_id))
        for event in (
            h11.Response(status_code=status, headers=headers, reason=status.phrase.encode()),
            h11.Data(data=body),
            h11.EndOfMessage(),
        ):
            self.transport.write(self.conn.send(event) or b"")
        self.transport.close()
