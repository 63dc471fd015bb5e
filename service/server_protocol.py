"""HTTP/1.1 on one connection: what uvicorn answers itself is a problem too, and a request's head has to arrive."""

from __future__ import annotations

import asyncio
import json
import uuid
from http import HTTPStatus
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from forgetcast.errors import ForgetcastError, InvalidRequest, RequestTimeout
from service.api.problems import MEDIA_TYPE, problem_body

HEAD_SECONDS = 10.0  # for the request line and the headers; a body has FORGETCAST_BODY_IDLE
LONGEST_HEAD = 48_000  # bytes; limits.py refuses less, with its own words


class Protocol(H11Protocol):
    """uvicorn's protocol, with problems for plain texts and a time limit on heads."""

    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._forget_timer()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        self._refuse(InvalidRequest("this is not an HTTP/1.1 request that can be read"), HTTPStatus.BAD_REQUEST)

    def _await_head(self) -> None:
        if self.conn.their_state is not h11.IDLE or self.transport.is_closing():
            self._forget_timer()
        elif self._head_timer is None:
            self._head_timer = self.loop.call_later(HEAD_SECONDS, self._give_up)

    def _give_up(self) -> None:
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self._refuse(RequestTimeout(f"no request came within {HEAD_SECONDS:g} seconds"), HTTPStatus.REQUEST_TIMEOUT)

    def _forget_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _refuse(self, error: ForgetcastError, status: HTTPStatus) -> None:
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
