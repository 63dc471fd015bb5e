"""What is looked for has an index, so that what it costs does not grow with what is stored."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from service.storage import jobs, waiting
from service.storage.database import Database, Session
from service.storage.tables import Job, Table, Task
from service.storage.tasks import list_tasks
from service.storage.upstream_sets import positions_of
from tests.storage.rows import add_job, add_task
from tests.storage.statements import plan_of, recorded

LEASE = timedelta(minutes=1)
REFERRING = sorted(
    (key for table in Table.metadata.tables.values() for key in table.foreign_key_constraints),
    key=lambda key: str(key.name),  # the same in every process that runs tests
)


def _condition(index: sa.Index) -> str | None:
    """Which rows it holds; None for all."""
    found = index.dialect_options["sqlite"]["where"]
    return None if found is None else str(found)


WITHOUT_ENDED = [
    str(index.name)
    for index in Table.metadata.tables["job"].indexes
    if index.dialect_options["sqlite"]["where"] is not None
]


@pytest.mark.parametrize("key", REFERRING, ids=lambda key: key.name)
def test_every_foreign_key_leads_an_index(key: sa.ForeignKeyConstraint) -> None:
    """Whoever deletes what it refers to would read the whole table otherwise."""
    columns = list(key.column_keys)
    indexes = [list(index.columns.keys()) for index in key.table.indexes if _holds_all(index, columns)]
    unique = [one for one in key.table.constraints if isinstance(one, sa.PrimaryKeyConstraint | sa.UniqueConstraint)]
    leading = [names[: len(columns)] for names in [*indexes, *(list(one.columns.keys()) for one in unique)]]
    assert columns in leading


def _holds_all(index: sa.Index, columns: list[str]) -> bool:
    """Also one that leaves out rows which refer to nothing."""
    return _condition(index) in (None, " AND ".join(f"{name} IS NOT NULL" for name in columns))


def add_jobs(session: Session, number: int, **columns: Any) -> None:
    """Jobs that wait, each of a task of its own."""
    matrix_id = add_task(session).matrix_id
    ids = [f"many-{place}" for place in range(number)]
    tasks = [{"id": id, "matrix_id": matrix_id, "measure": "full", "seed": 1} for id in ids]
    session.execute(sa.insert(Task), tasks)
    waiting = [
        {"id": f"job_{id}", "task_id": id, "measure": "full", "hardware": "any", "priority": 0, **columns} for id in ids
    ]
    session.execute(sa.insert(Job), waiting)


def test_a_claim_reads_in_the_order_of_its_own_hardware(database: Database) -> None:
    with database.transaction() as session:
        add_jobs(session, 2000, hardware="a100")
        add_job(session, hardware="h100")
    with database.transaction() as session, recorded(database) as sent:
        claimed = jobs.claim(session, "worker", ["h100"], LEASE)
    assert claimed is not None
    plan = plan_of(database, *sent[0])
    looks = plan.split("ix_job_claim")[1:]
    assert len(looks) == 2, plan  # for its own hardware and for any
    assert all("hardware" in look for look in looks), plan
    assert "SCAN job" not in plan and "Seq Scan on job" not in plan, plan


def test_a_claim_takes_the_best_job_over_all_its_classes(database: Database) -> None:
    with database.transaction() as session:
        wanted = [
            add_job(session, hardware=hardware, priority=priority).id
            for hardware, priority in (("h100", 2), ("any", 1), ("a100", 1), ("h100", 0))
        ]
        add_job(session, hardware="tpu", priority=9)
    for job_id in wanted:
        with database.transaction() as session:
            claimed = jobs.claim(session, "worker", ["h100", "a100"], LEASE)
            assert claimed is not None
            assert claimed.job_id == job_id
    with database.transaction() as session:
        assert jobs.claim(session, "worker", ["h100", "a100"], LEASE) is None


@pytest.mark.parametrize(
    "look",
    [
        lambda session: jobs.reap(session),
        lambda session: jobs.may_queue(session, "key", 1000),
        lambda session: jobs.may_queue(session, None, 1000),
        lambda session: jobs.check_idle(session, "t"),
        lambda session: waiting.running_jobs(session),
        lambda session: waiting.queued_groups(session),
    ],
    ids=["reap", "queued of a key", "queued without a key", "active of a task", "running", "queued"],
)
def test_jobs_that_have_ended_are_not_read(database: Database, look: Callable[[Session], Any]) -> None:
    with database.transaction() as session:
        add_jobs(session, 500, state="succeeded")
    with database.transaction() as session, recorded(database) as sent:
        look(session)
    assert sent
    for one in sent:
        plan = plan_of(database, *one)
        assert any(name in plan for name in WITHOUT_ENDED), plan


def test_the_newest_job_of_each_listed_task_comes_with_one_statement(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(5):
            task = add_task(session)
            for _again in range(2):
                jobs.cancel(session, jobs.insert_job(session, task_id=task.id, measure="full", positions=None).id)
        first = session.scalars(sa.select(Task.id).order_by(Task.id)).first()
        assert first is not None
        alone = add_task(session).id
        newest = {task_id: jobs.newest_job_id(session, task_id) for task_id in session.scalars(sa.select(Task.id))}
        shared = add_task(session).id
        jobs.share_job(session, newest[first] or "", shared)
    with database.read() as session, recorded(database) as sent:
        listed = {task.id: job_id for task, job_id in list_tasks(session, "m", "", 100)}
    assert listed == {**newest, shared: newest[first]}
    assert listed[alone] is None
    with database.read() as session:
        assert listed[first] == session.scalar(sa.select(sa.func.max(Job.id)).where(Job.task_id == first))
    assert len(sent) == 1
    plan = plan_of(database, *sent[0])
    assert "ix_job_task_id_id" in plan and "ix_task_matrix_id_id" in plan, plan


def test_positions_are_looked_up_by_id(database: Database) -> None:
    with database.transaction() as session:
        add_task(session)
    with database.read() as session, recorded(database) as sent:
        assert positions_of(session, "u", ["e2", "e0", "e2", "none"]) == {"e2": 2, "e0": 0}
    assert len(sent) == 1
    plan = plan_of(database, *sent[0])
    assert "uq_upstream_example" in plan or "sqlite_autoindex_upstream_example_2" in plan, plan
