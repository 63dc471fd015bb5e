"""HTTP/1.1 requests at a rate or as fast as they are answered, from one thread that costs little beside the service.

Every latency runs from the moment at which a request was due, so that a service that falls behind is seen to.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

Requests = Iterator[bytes]
UNANSWERED = 0  # a status for what got no whole answer


@dataclass
class Tally:
    """Latencies in seconds, statuses, and how long the run took."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0

    def add(self, due: float, status: int) -> None:
        self.latencies.append(time.perf_counter() - due)
        self.statuses[status] += 1

    @property
    def rate(self) -> float:
        """Answers per second."""
        return len(self.latencies) / self.seconds

    def milliseconds(self, quantile: float) -> float:
        return float(np.quantile(self.latencies, quantile)) * 1000


class Link:
    """One kept-alive connection, made when it is first needed and again after it was closed."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, request: bytes) -> int:
        """The status of the answer, whose body is read and dropped; UNANSWERED when the connection breaks.

        A connection that was kept may have been closed meanwhile; then the request is sent once more on a new one.
        """
        was_kept = self._streams is not None
        status = await self._ask(request)
        return await self._ask(request) if status == UNANSWERED and was_kept else status

    async def _ask(self, request: bytes) -> int:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            reader, writer = self._streams
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(_body_bytes(head))
            if b"\r\nconnection: close" in head.lower():
                self.close()
            return int(head[9:12])
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            return UNANSWERED

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


def as_fast_as_answered(port: int, requests: Requests, *, links: int, seconds: float) -> Tally:
    """Each connection sends its next request when the last one is answered."""

    async def run(tally: Tally) -> None:
        end = time.perf_counter() + seconds

        async def one() -> None:
            link = Link(port)
            while (due := time.perf_counter()) < end:
                tally.add(due, await link.ask(next(requests)))
            link.close()

        await asyncio.gather(*(one() for _ in range(links)))

    return _timed(run)


def all_of(port: int, requests: Requests, *, links: int) -> Tally:
    """Every request once, from this many connections."""

    async def run(tally: Tally) -> None:
        async def one() -> None:
            link = Link(port)
            for request in requests:
                tally.add(time.perf_counter(), await link.ask(request))
            link.close()

        await asyncio.gather(*(one() for _ in range(links)))

    return _timed(run)


def at_rate(port: int, requests: Requests, *, per_second: float, seconds: float) -> Tally:
    """Requests at even distances whether or not the earlier ones are answered; connections are made as needed."""

    return _timed(lambda tally: _at_rate(tally, port, requests, per_second, seconds))


def beside_streams(
    sides: Sequence[tuple[int, Requests, Requests]], *, n_streams: int, per_second: float, seconds: float, turns: int
) -> list[Tally]:
    """Requests at a rate to each (port, requests, streams) in turn, while so many streams of every side are open."""

    async def run(_whole: Tally) -> None:
        open_streams = [await _opened(port, streams, n_streams) for port, _requests, streams in sides]
        for _ in range(turns):
            for tally, (port, requests, _streams) in zip(tallies, sides, strict=True):
                await _at_rate(tally, port, requests, per_second, seconds)
                tally.seconds += seconds
        for task in (task for tasks in open_streams for task in tasks):
            if task.done():
                raise SystemExit("a stream ended before its time")
            task.cancel()

    tallies = [Tally() for _ in sides]
    _timed(run)
    return tallies


async def _opened(port: int, streams: Requests, n_streams: int) -> list[asyncio.Task[None]]:
    """Streams whose first bytes have come, each read on by a task until it ends."""

    async def follow(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        while await reader.read(1 << 16):
            pass

    tasks = []
    for _ in range(n_streams):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(next(streams))
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"a stream was refused: {head[:64]!r}")
        tasks.append(asyncio.create_task(follow(reader, writer)))
    return tasks


async def _at_rate(tally: Tally, port: int, requests: Requests, per_second: float, seconds: float) -> None:
    start, free, under_way = time.perf_counter(), list[Link](), set[asyncio.Task[None]]()

    async def one(due: float) -> None:
        link = free.pop() if free else Link(port)
        tally.add(due, await link.ask(next(requests)))
        free.append(link)

    for number in range(int(per_second * seconds)):
        due = start + number / per_second
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        task = asyncio.create_task(one(due))
        under_way.add(task)
        task.add_done_callback(under_way.discard)
    await asyncio.gather(*under_way)
    for link in free:
        link.close()


def get(target: str, key: str = "", etag: str = "", accept: str = "") -> bytes:
    """A GET request as bytes."""
    lines = [f"GET {target} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"If-None-Match: {etag}"] if etag else []
    lines += [f"Accept: {accept}"] if accept else []
    return "\r\n".join([*lines, "", ""]).encode()


def post(target: str, body: bytes, key: str) -> bytes:
    """A POST request of JSON as bytes."""
    head = f"POST {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
    return f"{head}Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body


def _timed(run: Callable[[Tally], object]) -> Tally:
    tally, start = Tally(), time.perf_counter()
    asyncio.run(run(tally))  # type: ignore[arg-type]
    tally.seconds = time.perf_counter() - start
    return tally


def _body_bytes(head: bytes) -> int:
    lowered = head.lower()
    place = lowered.find(b"\r\ncontent-length:")
    return 0 if place < 0 else int(lowered[place + 17 : lowered.index(b"\r\n", place + 17)])
