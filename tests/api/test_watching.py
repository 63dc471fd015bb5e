"""Waiting for jobs: who waits is woken by what concerns them, and costs next to nothing meanwhile."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import sqlalchemy as sa

from forgetcast.errors import JobNotFound
from forgetcast.schemas import Scope
from service.api.known_keys import KnownKeys
from service.api.watching import JobWatch
from service.operations.keys import revoke_key
from service.storage.database import Database
from service.storage.events import append_event
from service.storage.tables import Job
from tests.api_keys import create_key
from tests.storage.rows import add_job

LONG, SHORT = 20.0, 0.8


async def always() -> bool:
    return True


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def draining() -> threading.Event:
    return threading.Event()


@pytest.fixture
def keys(database: Database) -> KnownKeys:
    return KnownKeys(database)


@pytest.fixture
def watch(database: Database, keys: KnownKeys, draining: threading.Event) -> Iterator[JobWatch]:
    watch = JobWatch(database, keys, draining)
    yield watch
    watch.close()
    keys.close()


def jobs(database: Database, n: int) -> list[str]:
    with database.transaction() as session:
        return [add_job(session).id for _ in range(n)]


def happen(database: Database, job_id: str) -> None:
    with database.transaction() as session:
        session.get_one(Job, job_id, with_for_update=True)
        append_event(session, job_id, "message", "info", "something", {})


@contextmanager
def counted(database: Database) -> Iterator[list[str]]:
    """The transactions that are begun meanwhile."""
    begun: list[str] = []

    def note(*_: Any) -> None:
        begun.append("begin")

    sa.event.listen(database.engine, "begin", note)
    try:
        yield begun
    finally:
        sa.event.remove(database.engine, "begin", note)


async def during(work: Callable[[], None], waiting: Awaitable[Any]) -> Any:
    """What the waiting comes to, when this is done half a second after its beginning."""
    waited = asyncio.ensure_future(waiting)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(work)
    return await waited


def test_who_waits_is_woken_by_an_event_of_their_job(database: Database, watch: JobWatch) -> None:
    mine, other = jobs(database, 2)

    async def wait(job_id: str, timeout: float) -> bool:
        seen = await watch.read(job_id)
        return await watch.change(job_id, seen.newest, always, timeout)

    async def both() -> Any:
        return await during(lambda: happen(database, mine), asyncio.gather(wait(mine, LONG), wait(other, 2)))

    assert asyncio.run(both()) == [True, False]


def test_what_happens_between_the_read_and_the_waiting_wakes(database: Database, watch: JobWatch) -> None:
    (mine,) = jobs(database, 1)

    async def late() -> bool:
        seen = await watch.read(mine)
        await asyncio.to_thread(happen, database, mine)
        return await watch.change(mine, seen.newest, always, LONG)

    assert asyncio.run(late())


def test_hundreds_who_wait_cost_a_few_transactions_a_second(database: Database, watch: JobWatch) -> None:
    ids = jobs(database, 3)

    async def wait_all() -> int:
        seen = [await watch.read(job_id) for job_id in ids]
        with counted(database) as begun:
            await asyncio.gather(
                *(watch.change(one.job.id, one.newest, always, 2.0) for one in seen for _ in range(100))
            )
        return len(begun)

    assert asyncio.run(wait_all()) < 20


def test_those_who_are_woken_together_share_a_read(database: Database, watch: JobWatch) -> None:
    (mine,) = jobs(database, 1)

    async def read_all() -> int:
        with counted(database) as begun:
            found = await asyncio.gather(*(watch.read(mine, 0) for _ in range(300)))
        assert len(found[0].events) == 1 and all(one is found[0] for one in found[1:])
        return len(begun)

    assert asyncio.run(read_all()) == 1


def test_a_job_that_is_not_there_fails_its_own_readers_alone(database: Database, watch: JobWatch) -> None:
    (mine,) = jobs(database, 1)

    async def read_both() -> Any:
        return await asyncio.gather(watch.read(mine), watch.read("job_absent"), return_exceptions=True)

    found, absent = asyncio.run(read_both())
    assert found.job.id == mine and isinstance(absent, JobNotFound)


def test_draining_wakes_everybody(database: Database, watch: JobWatch, draining: threading.Event) -> None:
    (mine,) = jobs(database, 1)
    began = time.monotonic()
    assert asyncio.run(during(draining.set, watch.change(mine, 10**9, always, LONG)))
    assert time.monotonic() - began < LONG / 2


def test_the_end_of_a_key_wakes_who_waits_with_it(database: Database, watch: JobWatch, keys: KnownKeys) -> None:
    (mine,) = jobs(database, 1)
    with database.transaction() as session:
        gone, stays = (create_key(session, name, [Scope.READ]) for name in ("gone", "stays"))

    def revoke() -> None:
        with database.transaction() as session:
            revoke_key(session, gone.split("_")[1])

    async def wait(key: str, timeout: float) -> bool:
        return await watch.change(mine, 10**9, lambda: keys.admits(key), timeout)

    async def both() -> Any:
        return await during(revoke, asyncio.gather(wait(gone, LONG), wait(stays, 6)))

    assert asyncio.run(both()) == [True, False]


def test_whatever_fails_wakes_who_waits(database: Database, watch: JobWatch, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that their own reads say what it is, and nobody waits for what cannot be told."""
    (mine,) = jobs(database, 1)

    def fail(*_: Any) -> Any:
        raise RuntimeError("no such table")

    monkeypatch.setattr("service.api.watching.newest_events", fail)
    assert asyncio.run(watch.change(mine, 10**9, always, LONG))
