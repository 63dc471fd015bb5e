"""The log of attempts: one row a claim, closed by whatever ends it, in the transaction of the job statement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.database import now
from service.storage.events import storable
from service.storage.tables import JobAttempt

SUCCEEDED, CANCELLED, GIVEN_BACK = "succeeded", "cancelled", "given_back"  # every other outcome is an error's code


@dataclass(frozen=True)
class ChildEnd:
    """How a child ended: its exit status (negative: the signal) and the bytes it had in memory at most."""

    exit_status: int | None = None
    max_rss: int | None = None


def begin_attempt(session: Session, job_id: str, fence: int, attempt: int, worker: str, gpu: str | None) -> None:
    values = {"job_id": job_id, "fence": fence, "attempt": attempt, "worker": worker, "gpu": gpu}
    session.execute(sa.insert(JobAttempt).values(values))


def end_attempt(
    session: Session, job_id: str, fence: int, outcome: str, detail: str | None = None, child: ChildEnd | None = None
) -> None:
    """Close the attempt that ran under this fence, unless it is closed already."""
    child = child or ChildEnd()
    open_one = (JobAttempt.job_id == job_id, JobAttempt.fence == fence, JobAttempt.outcome.is_(None))
    values = {
        "outcome": outcome,
        "detail": None if detail is None else storable(detail),
        "ended_at": now(),
        "exit_status": child.exit_status,
        "max_rss": child.max_rss,
    }
    ended = sa.update(JobAttempt).where(*open_one).values(values)
    session.execute(ended.execution_options(synchronize_session=False))


def list_attempts(session: Session, job_id: str) -> Sequence[JobAttempt]:
    """All attempts at a job, oldest first."""
    return session.scalars(sa.select(JobAttempt).where(JobAttempt.job_id == job_id).order_by(JobAttempt.fence)).all()


def past_outcomes(session: Session, job_id: str) -> tuple[str, ...]:
    """How the attempts at a job have ended so far, oldest first."""
    ended = sa.select(JobAttempt.outcome).where(JobAttempt.job_id == job_id, JobAttempt.outcome.is_not(None))
    return tuple(outcome for outcome in session.scalars(ended.order_by(JobAttempt.fence)) if outcome is not None)
