"""A connection to Postgres that gives up on a server that says nothing, as when a host hangs or a cable is pulled.

TCP itself gives up after a quarter of an hour, and libpq never on a server that keeps the connection and is silent.
"""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping
from math import ceil
from typing import Any, TypeVar

import psycopg

CONNECTS_WITHIN = 10.0  # seconds, unless another limit is given
LOOKS_EVERY = 0.1  # seconds; psycopg's own interval, in which it hands back what is only a time-out
T = TypeVar("T")


class ImpatientConnection(psycopg.Connection[Any]):
    """Closes itself and raises ServerSilent when the server has said nothing for `patience` seconds; None: never."""

    patience: float | None = 10.0

    def wait(self, gen: Generator[Any, Any, T], interval: float = LOOKS_EVERY, timeout: float | None = None) -> T:
        if self.patience is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(_impatient(gen, self.patience), interval, timeout)
        except ServerSilent:
            self.pgconn.finish()  # its answer may still come, and would be taken for that to another question
            raise


class ImpatientAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for who waits in an event loop."""

    patience: float | None = 10.0

    async def wait(self, gen: Generator[Any, Any, T], interval: float = LOOKS_EVERY, timeout: float | None = None) -> T:
        if self.patience is None:
            return await super().wait(gen, interval, timeout)
        try:
            return await super().wait(_impatient(gen, self.patience), interval, timeout)
        except ServerSilent:
            self.pgconn.finish()
            raise


def with_limit(arguments: Mapping[str, Any], patience: float | None) -> dict[str, Any]:
    """Arguments of a connection, which is made within `patience` seconds unless they say another time.

    Making one has a limit also for who is patient once it is made.
    """
    return {"connect_timeout": ceil(CONNECTS_WITHIN if patience is None else patience), **arguments}


class ServerSilent(psycopg.OperationalError):
    """The server has said nothing for too long."""


def _impatient(gen: Generator[Any, Any, T], patience: float) -> Generator[Any, Any, T]:
    """The same conversation with the socket, ended when it is not ready for too long."""
    heard_at = time.monotonic()
    try:
        wanted = next(gen)
        while True:
            ready = yield wanted
            if ready:
                heard_at = time.monotonic()
            elif time.monotonic() - heard_at >= patience:
                raise ServerSilent(f"no answer within {patience:g} s")
            wanted = gen.send(ready)
    except StopIteration as end:
        result: T = end.value
        return result
