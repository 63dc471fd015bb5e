"""Transactions that run at the same moment, in threads, with a pause after each statement."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa

from service.storage.database import Database, Session

PAUSE = 0.004  # seconds after each statement, for others to come between

Act = Callable[[Session], Any]


def at_once(database: Database, *acts: Act) -> list[Any]:
    """What each act returned or raised, in their order; each has a transaction of its own, begun before any commits."""
    begun = threading.Barrier(1 if database.is_sqlite else len(acts))
    ended: list[Any] = [None] * len(acts)

    def run(place: int, act: Act) -> None:
        try:
            with database.transaction() as session:
                session.execute(sa.text("SELECT 1"))
                begun.wait(30)
                ended[place] = act(session)
        except Exception as error:
            ended[place] = error

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(acts)]
    with _slow_statements(database):
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert not any(thread.is_alive() for thread in threads), "they wait for each other"
    return ended


def raised(ended: list[Any], *expected: type[Exception]) -> list[Any]:
    """What was raised and is none of the expected."""
    return [one for one in ended if isinstance(one, Exception) and not isinstance(one, expected)]


@contextmanager
def _slow_statements(database: Database) -> Iterator[None]:
    def pause(*_: Any) -> None:
        time.sleep(0 if database.is_sqlite else PAUSE)

    sa.event.listen(database.engine, "after_cursor_execute", pause)
    try:
        yield
    finally:
        sa.event.remove(database.engine, "after_cursor_execute", pause)
