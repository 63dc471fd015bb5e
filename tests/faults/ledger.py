"""What must hold of a job, whatever was done to the processes around it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import Any

import numpy as np
import sqlalchemy as sa

from service.storage import jobs
from service.storage.database import Database
from service.storage.events import list_events
from service.storage.tables import Job, Measurement
from tests.faults.deployment import Deployment, Running
from tests.workers.supervised import eventually

FORGETTING = 0.5  # of every example, by the child without a model
TERMINAL = ("succeeded", "failed", "cancelled")


def row(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return jobs.get_job(session, job_id)


def state(database: Database, job_id: str) -> str:
    return row(database, job_id).state


def ended(database: Database, job_id: str, seconds: float = 60.0) -> Job:
    """The job once it has ended."""
    eventually(lambda: state(database, job_id) in TERMINAL, seconds)
    return row(database, job_id)


def all_ended(database: Database, seconds: float = 120.0) -> list[Job]:
    """Every job, once none is waiting or running."""
    active = sa.select(sa.func.count()).select_from(Job).where(Job.state.not_in(TERMINAL))

    def nothing_left() -> bool:
        with database.read() as session:
            return session.scalar(active) == 0

    eventually(nothing_left, seconds)
    with database.read() as session:
        return list(session.scalars(sa.select(Job)))


def events(database: Database, job_id: str) -> list[dict[str, Any]]:
    """Type and data of each event, in order."""
    with database.read() as session:
        return [{"type": event.type, **event.data} for event in list_events(session, job_id, 0, 10_000)]


def error_codes(database: Database, job_id: str) -> list[str]:
    """The codes of the attempts that failed, in order."""
    return [event["code"] for event in events(database, job_id) if "code" in event]


def measurements(database: Database, job_id: str | None = None) -> list[Measurement]:
    with database.read() as session:
        found = sa.select(Measurement)
        return list(session.scalars(found if job_id is None else found.where(Measurement.job_id == job_id)))


def assert_succeeded_once(deployment: Deployment, job_id: str, seconds: float = 60.0) -> Job:
    """The job succeeds, with one measurement, within its attempts, and never with two children at once."""
    job = ended(deployment.database, job_id, seconds)
    assert (job.state, job.error) == ("succeeded", None)
    (measurement,) = measurements(deployment.database, job_id)
    values = np.frombuffer(measurement.forgetting, "<f4")
    assert values.size > 0 and (values == FORGETTING).all()
    assert 1 <= job.attempt <= job.max_attempts
    assert_one_child_at_a_time(deployment, job_id)
    assert_told(deployment, job_id)
    return job


def assert_told(deployment: Deployment, job_id: str) -> None:
    """Fault 42: each failed attempt has left one structured log line, and has moved one counter of its process."""
    failed = [(job_id, one["attempt"], one["code"]) for one in events(deployment.database, job_id) if "code" in one]

    def logged() -> list[tuple[str, int, str]]:
        return [line for process in deployment.started for line in process.failures() if line[0] == job_id]

    eventually(lambda: sorted(logged()) == sorted(failed), 5)  # a line follows its commit
    for process in deployment.started:
        if process.metrics_url and process.running and process.failures():
            eventually(partial(_has_counted, process), 5)


def _has_counted(process: Running) -> bool:
    return process.counted() == Counter(code for _job, _attempt, code in process.failures())


def assert_one_child_at_a_time(deployment: Deployment, job_id: str | None = None) -> None:
    assert [start for start in deployment.starts(job_id) if start["beside"]] == []


def assert_ended_without_measurement(deployment: Deployment, job_id: str, *, state: str, code: str | None) -> Job:
    job = ended(deployment.database, job_id)
    assert (job.state, (job.error or {}).get("code")) == (state, code)
    assert measurements(deployment.database, job_id) == []
    assert_told(deployment, job_id)
    return job
