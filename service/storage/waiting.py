"""Jobs that wait or run, seen as a queue."""

from __future__ import annotations

from typing import NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from forgetcast.schemas import JobState
from service.storage.database import now
from service.storage.jobs import in_state
from service.storage.tables import Job

RECENT = 50  # jobs whose durations say how long the next one takes
MOST_RUNNING = 1000


class Group(NamedTuple):
    """Queued jobs of one hardware class and priority."""

    hardware: str
    priority: int
    n_jobs: int
    oldest_age: float  # seconds


def queued_groups(session: Session) -> list[Group]:
    """What waits, the highest priority first."""
    found = session.execute(
        sa.select(Job.hardware, Job.priority, sa.func.count(), now() - sa.func.min(Job.created_at))
        .where(in_state(JobState.QUEUED))
        .group_by(Job.hardware, Job.priority)
        .order_by(Job.priority.desc(), Job.hardware)
    )
    return [Group(hardware, priority, n_jobs, max(0.0, age)) for hardware, priority, n_jobs, age in found]


def running_jobs(session: Session) -> list[tuple[Job, float]]:
    """What runs, with the seconds since its first start, the longest first."""
    found = session.execute(
        sa.select(Job, now() - Job.started_at)
        .where(in_state(JobState.RUNNING))
        .order_by(Job.started_at, Job.id)
        .limit(MOST_RUNNING)
    )
    return [(job, max(0.0, seconds)) for job, seconds in found]


def recent_durations(session: Session) -> list[float]:
    """Seconds from start to end of the newest jobs that succeeded."""
    found = session.scalars(
        sa.select(Job.finished_at - Job.started_at)
        .where(in_state(JobState.SUCCEEDED))
        .order_by(Job.id.desc())
        .limit(RECENT)
    )
    return [max(0.0, seconds) for seconds in found if seconds is not None]
