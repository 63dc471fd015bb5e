"""A job's events as they come: server-sent events, resumed after the last one seen when the stream breaks."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import httpx2
from pydantic import ValidationError

from forgetcast.client.connection import Connection, segment
from forgetcast.client.reading import read_shape
from forgetcast.errors import ForgetcastError, UnexpectedAnswer
from forgetcast.schemas import Event, Page

PING = 20.0  # seconds within which the service keeps a silent stream alive by a comment; it sends one every 15
SILENT_TRIES = 5  # streams that broke without an event before this gives up

OnEvent = Callable[[Event], None]


class CallbackRaised(Exception):
    """An exception of the user's callback on its way out, whatever it looks like: it is none of the connection."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error


class Followed:
    """Hands each event of one job to a callback, once and in order, over as many connections as it takes."""

    def __init__(self, connection: Connection, job_id: str, on_event: OnEvent, after: int = 0) -> None:
        self._connection = connection
        self._path = f"/v1/jobs/{segment(job_id)}/events"
        self._on_event = on_event
        self._last = after

    def stream(self, until: float) -> None:
        """Return at the last event, where no stream is to be had, or when `until` (monotonic) is near."""
        silent = 0
        while silent < SILENT_TRIES and _time_left(until):
            seen = self._last
            try:
                if self._read_stream(until):
                    return
            except UnexpectedAnswer:
                return
            except httpx2.TransportError:
                pass
            except ForgetcastError as error:
                if not error.retryable:
                    raise
            silent = 1 if self._last != seen else silent + 1
            time.sleep(min(0.25 * 2**silent, 4.0))

    def catch_up(self, until: float = math.inf) -> None:
        """Hand over the events since the last one, without waiting for more."""
        more = True
        while more:
            page = self._connection.read(Page[Event], "GET", self._path, params={"after": self._last}, until=until)
            for event in page.data:
                self._hand_over(event)
            more = page.has_more and bool(page.data)

    def _read_stream(self, until: float) -> bool:
        """Whether the stream came to its end, or no time is left for it."""
        headers = {"Accept": "text/event-stream", "Last-Event-ID": str(self._last)}
        silence = min(2 * PING, until - time.monotonic())
        with self._connection.stream(self._path, headers, read_timeout=silence) as response:
            if not response.headers.get("Content-Type", "").startswith("text/event-stream"):
                raise UnexpectedAnswer(f"{self._path} is not a stream of events")
            for message in _messages(response.iter_lines()):
                if message is not None and message.event == "done":
                    return True
                if message is not None and message.data:
                    self._hand_over(_event(message.data))
                if not _time_left(until):
                    return True
        return False

    def _hand_over(self, event: Event) -> None:
        if event.id > self._last:
            self._last = event.id
            try:
                self._on_event(event)
            except Exception as error:
                raise CallbackRaised(error) from error


def _event(data: str) -> Event:
    try:
        return read_shape(Event, data)
    except ValidationError as error:
        raise UnexpectedAnswer(
            f"an event in a form that this client does not know: {error.errors()[0]['msg']}"
        ) from error


class _Message(NamedTuple):
    event: str
    data: str


def _messages(lines: Iterable[str]) -> Iterator[_Message | None]:
    """Messages of an event stream, and None for every comment, so that a reader can look at the clock.

    httpx2's own EventSource leaves comments out: a silent stream would outlast any deadline.
    """
    event, data = "message", list[str]()
    for line in lines:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            yield _Message(event, "\n".join(data))
            event, data = "message", []
        elif not name:
            yield None
        elif name == "event":
            event = value
        elif name == "data":
            data.append(value)


def _time_left(until: float) -> bool:
    """Whether a stream that may be silent for PING still ends in time."""
    return until - time.monotonic() > PING
