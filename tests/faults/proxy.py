"""A TCP proxy in front of one server, that can do to connections what networks do."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any

CHUNK = 65536


@dataclass(eq=False)
class _Connection:
    ends: tuple[asyncio.StreamWriter, asyncio.StreamWriter]
    marked: bool = False  # what was waited for has passed on it
    doomed: bool = False  # the next reply is dropped, and the connection with it

    def abort(self) -> None:
        for end in self.ends:
            end.transport.abort()


@dataclass
class DroppedReply:
    """A reply that will be, or was, dropped: `mark` has to pass on the connection before `request`."""

    mark: bytes
    request: bytes
    dropped: threading.Event


class FaultProxy:
    """Passes everything on until it is told otherwise. Runs in a thread of its own; call it from any other."""

    def __init__(self, target_port: int, host: str = "127.0.0.1") -> None:
        self._host, self._target_port = host, target_port
        self._connections: set[_Connection] = set()
        self._awaited: DroppedReply | None = None
        self._delay = 0.0
        self._server: asyncio.Server | None = None
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._flowing = asyncio.Event()
        self._flowing.set()
        threading.Thread(target=self._loop.run_forever, name=f"proxy of {target_port}", daemon=True).start()
        self._do(self._listen())

    def cut(self) -> None:
        """Reset every connection; new ones are accepted."""
        self._do(self._cut())

    def refuse(self) -> None:
        """Reset every connection and refuse new ones, as when the server is down."""
        self._do(self._refuse())

    def black_hole(self) -> None:
        """Let nothing through and say nothing, as when a cable is pulled. What was sent arrives after `heal`."""
        self._do(self._set_flowing(False))

    def delay(self, seconds: float) -> None:
        """Hold back every packet, in both directions, for so long."""
        self._delay = seconds

    def drop_reply(self, mark: bytes, request: bytes = b"COMMIT") -> DroppedReply:
        """After `mark` has passed on a connection, forward `request`, throw its reply away and cut the connection."""
        self._awaited = DroppedReply(mark, request, threading.Event())
        return self._awaited

    def heal(self) -> None:
        """Undo everything."""
        self._awaited, self._delay = None, 0.0
        self._do(self._set_flowing(True))
        self._do(self._listen())

    def close(self) -> None:
        self._do(self._refuse())
        self._loop.call_soon_threadsafe(self._loop.stop)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, self._host, self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def _cut(self) -> None:
        for connection in list(self._connections):
            connection.abort()

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._cut()

    async def _set_flowing(self, flowing: bool) -> None:
        (self._flowing.set if flowing else self._flowing.clear)()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._flowing.wait()
        try:
            server_reader, server_writer = await asyncio.open_connection(self._host, self._target_port)
        except OSError:
            writer.transport.abort()
            return
        connection = _Connection((writer, server_writer))
        self._connections.add(connection)
        try:
            await asyncio.gather(
                self._pump(reader, server_writer, connection, to_server=True),
                self._pump(server_reader, writer, connection, to_server=False),
            )
        finally:
            self._connections.discard(connection)
            connection.abort()

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, connection: _Connection, *, to_server: bool
    ) -> None:
        try:
            while chunk := await source.read(CHUNK):
                await self._flowing.wait()
                if self._delay:
                    await asyncio.sleep(self._delay)
                if self._drops(chunk, connection, to_server=to_server):
                    connection.abort()
                    return
                sink.write(chunk)
                await sink.drain()
            sink.write_eof()
        except OSError:  # one end was reset, so the other one is too
            connection.abort()

    def _drops(self, chunk: bytes, connection: _Connection, *, to_server: bool) -> bool:
        awaited = self._awaited
        if awaited is None:
            return False
        if connection.doomed and not to_server:
            self._awaited = None
            awaited.dropped.set()
            return True
        connection.marked = connection.marked or awaited.mark in chunk
        if to_server and connection.marked and awaited.request in chunk:
            connection.doomed = True
        return False
