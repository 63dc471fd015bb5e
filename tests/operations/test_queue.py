"""When a job that is ordered now would start."""

from __future__ import annotations

from datetime import timedelta

import pytest
import sqlalchemy as sa

from service.operations.queue import Place, estimate_starts, read_queue
from service.storage import jobs
from service.storage.database import Database, now
from service.storage.tables import Job
from service.storage.waiting import Group
from service.storage.workers import note_worker
from tests.storage.rows import add_job

LEASE = timedelta(minutes=1)


def places(*free_in: float, hardware: str = "any") -> list[Place]:
    return [Place(frozenset({hardware, "any"}), seconds) for seconds in free_in]


def groups(*waiting: tuple[str, int, int]) -> list[Group]:
    return [Group(hardware, priority, n_jobs, 0.0) for hardware, priority, n_jobs in waiting]


def test_a_job_behind_others_waits_for_all_of_them() -> None:
    assert estimate_starts(groups(("any", 0, 3)), places(0.0), 10.0) == [30.0]
    assert estimate_starts(groups(("any", 0, 3)), places(4.0), 10.0) == [34.0]


def test_several_workers_share_the_waiting() -> None:
    assert estimate_starts(groups(("any", 0, 4)), places(0.0, 0.0), 10.0) == [20.0]
    # 10 s of work for the one that is free at once; the other is still busy with its own then.
    assert estimate_starts(groups(("any", 0, 1)), places(0.0, 100.0), 10.0) == [10.0]


def test_a_lower_priority_waits_for_the_higher() -> None:
    assert estimate_starts(groups(("any", 5, 2), ("any", 0, 1)), places(0.0), 10.0) == [20.0, 30.0]


def test_a_class_that_no_worker_takes_has_no_start() -> None:
    assert estimate_starts(groups(("h100", 0, 1), ("any", 0, 1)), places(0.0), 10.0) == [None, 10.0]
    assert estimate_starts(groups(("h100", 0, 1)), places(0.0, hardware="h100"), 10.0) == [10.0]


def test_jobs_that_take_no_time_start_at_once() -> None:
    assert estimate_starts(groups(("any", 0, 3)), places(0.0, 5.0), 0.0) == [0.0]


def test_the_queue_is_read_by_class_and_priority(database: Database) -> None:
    with database.transaction() as session:
        for hardware, priority in [("any", 0), ("any", 0), ("a100", 5), ("h100", 1)]:
            add_job(session, hardware=hardware, priority=priority)
        done = add_job(session, priority=9)
    with database.transaction() as session:
        claimed = jobs.claim(session, "w1", ["any"], LEASE)
        assert claimed is not None and claimed.job_id == done.id
        jobs.finish(session, claimed.job_id, claimed.fence, {})
        session.execute(sa.update(Job).where(Job.id == done.id).values(started_at=now() - 100, finished_at=now()))
        running = jobs.claim(session, "w1", ["a100"], LEASE)
        assert running is not None
        note_worker(session, "w1", host="h", hardware=["a100", "any"], gpu=None, version="1", job_id=running.job_id)
    with database.read() as session:
        queue = read_queue(session, LEASE)
    assert (queue.n_queued, queue.n_running) == (3, 1)
    assert [(one.hardware, one.priority, one.n_jobs) for one in queue.waiting] == [("h100", 1, 1), ("any", 0, 2)]
    assert queue.job_s == pytest.approx(100, abs=5)
    assert queue.waiting[0].starts_in_s is None  # nobody takes h100
    assert queue.waiting[1].starts_in_s == pytest.approx(300, abs=15)
    assert [(one.job, one.worker, one.attempt) for one in queue.running] == [(running.job_id, "w1", 1)]


def test_an_empty_queue_has_no_oldest_and_no_estimate(database: Database) -> None:
    with database.read() as session:
        queue = read_queue(session, LEASE)
    assert queue.model_dump() == {
        "n_queued": 0,
        "n_running": 0,
        "oldest_age_s": None,
        "job_s": None,
        "waiting": [],
        "running": [],
    }
