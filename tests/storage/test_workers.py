"""Workers that are there: who is alive, who is silent, who is forgotten."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa

from service.operations.workers import list_workers
from service.storage.database import Database, now
from service.storage.tables import Worker
from service.storage.workers import forget_silent_workers, note_worker, remove_worker

LEASE = timedelta(minutes=1)


def note(database: Database, worker_id: str, job_id: str | None = None) -> None:
    with database.transaction() as session:
        note_worker(session, worker_id, host="gpu-1", hardware=["a100", "any"], gpu="GPU-0", version="1", job_id=job_id)


def silence(database: Database, worker_id: str, seconds: float) -> None:
    with database.transaction() as session:
        session.execute(sa.update(Worker).where(Worker.id == worker_id).values(seen_at=now() - seconds))


def seen(database: Database) -> dict[str, tuple[bool, str | None]]:
    with database.read() as session:
        return {worker.id: (worker.alive, worker.job) for worker in list_workers(session, LEASE)}


def test_a_worker_is_listed_with_what_it_works_on(database: Database) -> None:
    note(database, "w")
    assert seen(database) == {"w": (True, None)}
    note(database, "w", "job_1")
    assert seen(database) == {"w": (True, "job_1")}


def test_a_silent_worker_is_shown_as_such_and_then_no_more(database: Database) -> None:
    for worker_id, seconds in [("late", 30), ("silent", 90), ("gone", 601)]:
        note(database, worker_id)
        silence(database, worker_id, seconds)
    assert seen(database) == {"late": (True, None), "silent": (False, None)}
    with database.transaction() as session:
        forget_silent_workers(session, LEASE)
        assert set(session.scalars(sa.select(Worker.id))) == {"late", "silent"}


def test_a_worker_that_leaves_is_gone_at_once(database: Database) -> None:
    note(database, "w")
    with database.transaction() as session:
        remove_worker(session, "w")
    assert seen(database) == {}
