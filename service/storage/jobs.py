"""Jobs: the row is the truth, and only these statements change it.

    insert_job --> queued --claim--> running --finish--> succeeded
                     ^                  |
                     +-- release, give_back, reap --> failed or cancelled

The fence rises with every claim and every reap. A worker names the fence of its claim in whatever it writes; once the
row has another one, the worker has lost the job and its writes change nothing. Leases are measured on the database's
clock. Terminal states never change. A cancel wins over a later finish and loses to an earlier one. Every claim opens an
entry in the log of attempts (attempts.py), and whatever takes the job from its worker closes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from functools import lru_cache
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.orm import Session

from forgetcast.errors import JobActive, JobEnded, JobNotFound
from forgetcast.schemas import JobState
from service.storage.attempts import (
    CANCELLED,
    GIVEN_BACK,
    SUCCEEDED,
    ChildEnd,
    begin_attempt,
    end_attempt,
    past_outcomes,
)
from service.storage.database import now
from service.storage.events import Level, append_event
from service.storage.ids import new_id
from service.storage.locks import hold, locked
from service.storage.tables import Job, JobShare, Task

ANY_HARDWARE = "any"
EXHAUSTED = "attempts_exhausted"  # the code of a job whose last attempt failed; `last_code` says with what
ACTIVE = (JobState.QUEUED, JobState.RUNNING)
TAKEN_AT_ONCE = 32  # claims that are under way; who finds that many taken asks again
NEAR_THE_CAP = 200  # waiting jobs; more than transactions are at work at once


@dataclass(frozen=True)
class Claimed:
    """A job that is now this worker's, as long as the row keeps this fence."""

    job_id: str
    task_id: str
    attempt: int
    fence: int
    seconds_left: float | None  # until the job's deadline
    past: tuple[str, ...] = ()  # outcomes of the attempts before, oldest first


class Beat(StrEnum):
    """What a worker learns when it renews its lease."""

    HELD = "held"
    LOST = "lost"  # another worker has the job, or it ended: stop and throw away
    CANCEL = "cancel"  # stop, then release


def insert_job(
    session: Session,
    *,
    task_id: str,
    measure: str,
    positions: bytes | None,
    random_positions: bytes | None = None,
    design: str | None = None,
    designed_from: int | None = None,
    hardware: str = ANY_HARDWARE,
    priority: int = 0,
    deadline: float | None = None,
    submitted_by: str | None = None,
    of_new_task: bool = False,
) -> Job:
    """Order a job; the caller holds the task, or has made it in this transaction.

    Raises JobActive when it has one that has not ended, or waits for one.
    """
    if not of_new_task:
        check_idle(session, task_id)
    job = Job(
        id=new_id("job"),
        task_id=task_id,
        measure=measure,
        positions=positions,
        random_positions=random_positions,
        design=design,
        designed_from=designed_from,
        hardware=hardware,
        priority=priority,
        deadline=deadline,
        submitted_by=submitted_by,
    )
    session.add(job)
    session.flush()
    data = {"state": JobState.QUEUED, "attempt": 0, "task": task_id}
    append_event(session, job.id, "state", "info", "queued", data)
    return job


def check_idle(session: Session, task_id: str) -> None:
    """Raises JobActive when a job of the task, or one that it shares, has not ended."""
    active = session.scalar(sa.select(Job.id).where(_of_task(task_id), in_state(*ACTIVE)).limit(1))
    if active is not None:
        message = f"the task {task_id!r} has the job {active}, which has not ended; wait for it or cancel it"
        raise JobActive(message, location=f"/v1/jobs/{active}")


def newest_job(session: Session, task_id: str) -> Job | None:
    """The newest job of the task, or that which it shares with another."""
    return session.scalar(sa.select(Job).where(_of_task(task_id)).order_by(Job.id.desc()).limit(1))


def newest_job_id(session: Session, task_id: str) -> str | None:
    """The id of the newest job of the task, or of that which it shares with another."""
    return newer(*session.execute(sa.select(*newest_jobs(task_id))).one())


def newest_jobs(task_id: str | sa.SQLColumnExpression[str]) -> tuple[sa.ScalarSelect[str], sa.ScalarSelect[str]]:
    """Columns: the ids of the newest job of a task, and of the job that it shares with another."""
    own = sa.select(sa.func.max(Job.id)).where(Job.task_id == task_id)
    shared = sa.select(JobShare.job_id).where(JobShare.task_id == task_id)
    return own.scalar_subquery(), shared.scalar_subquery()


def newer(*job_ids: str | None) -> str | None:
    """The newest of these jobs: their ids are in the order of time."""
    return max((job_id for job_id in job_ids if job_id is not None), default=None)


def active_order(session: Session, matrix_id: str, natural_key: str, measure: str) -> Job | None:
    """A job at work for a task of this matrix that was ordered the same."""
    same = (Task.matrix_id == matrix_id, Task.natural_key == natural_key, Job.measure == measure)
    jobs = sa.select(Job).join(Task, Task.id == Job.task_id).where(*same, in_state(*ACTIVE))
    return session.scalar(jobs.order_by(Job.id).limit(1))


def still_active(session: Session, job: Job) -> bool:
    """Lock a job, and say whether it has not ended meanwhile; the caller holds its task."""
    found = locked(session, Job, job.id)
    return found is not None and found.state in ACTIVE


def share_job(session: Session, job_id: str, task_id: str) -> None:
    """Let a task have the cells of another one's job, which has not ended and whose task the caller holds."""
    session.add(JobShare(task_id=task_id, job_id=job_id))
    session.flush()


def sharing_tasks(session: Session, job_id: str) -> list[str]:
    """The tasks that get a job's cells beside its own task, by id."""
    return list(
        session.scalars(sa.select(JobShare.task_id).where(JobShare.job_id == job_id).order_by(JobShare.task_id))
    )


def may_queue(session: Session, submitted_by: str | None, most: int) -> bool:
    """Whether one more job of this API key may wait beside those that do.

    Near the cap the key's transactions on Postgres go one after the other, for two at once would each take the last
    place; far from it they need not, and on SQLite they do anyway.
    """
    n_queued = _count_queued(session, submitted_by, most)
    if n_queued + NEAR_THE_CAP >= most:
        hold(session, ("queue", submitted_by or ""))  # after the rows of a task, which nobody takes who holds it
        n_queued = _count_queued(session, submitted_by, most)
    return n_queued < most


def _count_queued(session: Session, submitted_by: str | None, most: int) -> int:
    """Counted up to `most`."""
    waiting = sa.select(Job.id).where(Job.submitted_by == submitted_by, in_state(JobState.QUEUED))
    return session.scalar(sa.select(sa.func.count()).select_from(waiting.limit(most).subquery())) or 0


def get_job(session: Session, job_id: str) -> Job:
    """The job with this id, as the database has it now. Raises JobNotFound."""
    job = session.get(Job, job_id, populate_existing=True)
    if job is None:
        raise JobNotFound(f"no job has the id {job_id!r}")
    return job


def cancel_was_asked(session: Session, job_id: str) -> bool:
    """Whether somebody wants this job to end."""
    return session.scalar(sa.select(Job.cancel_requested_at).where(Job.id == job_id)) is not None


def active_jobs(session: Session, job_ids: Sequence[str]) -> set[str]:
    """Which of these jobs have not ended."""
    return set(session.scalars(sa.select(Job.id).where(Job.id.in_(job_ids), in_state(*ACTIVE))))


def claim(
    session: Session, owner: str, hardware: Sequence[str], lease: timedelta, *, gpu: str | None = None
) -> Claimed | None:
    """Take the best job that waits for hardware of these classes; None when there is none."""
    taken = _claim_statement(tuple(sorted({*hardware, ANY_HARDWARE})))
    row = session.execute(taken, {"owner": owner, "lease": lease.total_seconds()}).first()
    if row is None:
        return None
    job_id, task_id, attempt, fence, seconds_left, max_attempts = row
    past = past_outcomes(session, job_id) if fence > 1 else ()
    begin_attempt(session, job_id, fence, attempt, owner, gpu)
    data = {"state": JobState.RUNNING, "attempt": attempt, "task": task_id}
    append_event(session, job_id, "state", "info", f"running, attempt {attempt} of {max_attempts}", data)
    return Claimed(job_id, task_id, attempt, fence, seconds_left, past)


def beat(session: Session, job_id: str, fence: int, lease: timedelta, progress: dict[str, Any] | None) -> Beat:
    """Renew the lease and note the progress, which also becomes an event: send it at most once a second."""
    values: dict[str, Any] = {"lease_until": now() + lease.total_seconds(), "heartbeat_at": now()}
    if progress is not None:
        values["progress"] = progress
    renewed = (
        sa.update(Job)
        .where(*_held(job_id, fence))
        .values(values)
        .returning(Job.attempt, Job.cancel_requested_at)
        .execution_options(synchronize_session=False)
    )
    row = session.execute(renewed).first()
    if row is None:
        return Beat.LOST
    attempt, cancel_requested_at = row
    if progress is not None:
        append_event(session, job_id, "progress", "info", str(progress["phase"]), {**progress, "attempt": attempt})
    return Beat.HELD if cancel_requested_at is None else Beat.CANCEL


def finish(session: Session, job_id: str, fence: int, report: dict[str, Any], *, child: ChildEnd | None = None) -> bool:
    """End a job with success. False when the lease is lost or a cancel was asked: then nothing may be written."""
    ended = (
        sa.update(Job)
        .where(*_held(job_id, fence), Job.cancel_requested_at.is_(None))
        .values({**_ending(JobState.SUCCEEDED), "report": report})
        .returning(Job.attempt)
        .execution_options(synchronize_session=False)
    )
    attempt = session.scalar(ended)
    if attempt is None:
        return False
    end_attempt(session, job_id, fence, SUCCEEDED, child=child)
    data = {"state": JobState.SUCCEEDED, "attempt": attempt}
    append_event(session, job_id, "state", "info", "succeeded", data)
    return True


def release(
    session: Session,
    job_id: str,
    fence: int,
    error: dict[str, Any],
    *,
    permanent: bool,
    backoff: timedelta = timedelta(0),
    child: ChildEnd | None = None,
) -> JobState | None:
    """End a failed attempt: the job waits for the next one, or has failed, or is cancelled. None: the lease is lost."""
    job = _lock(session, *_held(job_id, fence))
    if job is None:
        return None
    return _end_attempt(session, job, error, permanent=permanent, backoff=backoff, child=child)


def give_back(session: Session, job_id: str, fence: int, *, child: ChildEnd | None = None) -> JobState | None:
    """Return a job whose worker goes away in good order: the attempt does not count. None: the lease is lost."""
    job = _lock(session, *_held(job_id, fence))
    if job is None:
        return None
    if job.cancel_requested_at is not None:
        end_attempt(session, job_id, fence, CANCELLED, child=child)
        return _change(session, job, JobState.CANCELLED)
    end_attempt(session, job_id, fence, GIVEN_BACK, child=child)
    message = "queued again: the worker was stopped, and the attempt does not count"
    return _change(session, job, JobState.QUEUED, message, attempt=job.attempt - 1)


def reap(session: Session, limit: int = 50) -> list[str]:
    """Put back the jobs of workers whose lease ran out, and fail waiting ones past their deadline; their ids.

    Ask only when live workers had the time to renew: not within one lease after the database was away.
    """
    lost = _lock_many(session, limit, in_state(JobState.RUNNING), Job.lease_until < now())
    for job in lost:
        error = {"code": "worker_lost", "detail": "the worker did not renew its lease"}
        _end_attempt(session, job, error, permanent=False, backoff=timedelta(0), fence=Job.fence + 1)
    # `IS NOT NULL` is what an index can answer: the clock moves on while it is read.
    late = (Job.deadline.is_not(None), Job.deadline <= now())
    overdue = _lock_many(session, limit, in_state(JobState.QUEUED), *late)
    for job in overdue:
        error = {"code": "deadline", "detail": "the deadline passed before the job could end"}
        _fail(session, job, error, f"failed with deadline: {error['detail']}")
    return [job.id for job in (*lost, *overdue)]


def cancel(session: Session, job_id: str) -> JobState:
    """Cancel a waiting job at once; ask the worker of a running one. Raises JobNotFound, JobEnded."""
    job = _lock(session, Job.id == job_id)
    if job is None:
        raise JobNotFound(f"no job has the id {job_id!r}")
    if job.state not in ACTIVE:
        raise JobEnded(f"the job {job_id} has already ended: {job.state}", location=f"/v1/jobs/{job_id}")
    if job.state == JobState.QUEUED:
        return _change(session, job, JobState.CANCELLED, cancel_requested_at=now())
    if job.cancel_requested_at is None:
        _update(session, job_id, cancel_requested_at=now())
        append_event(session, job_id, "message", "info", "cancel was asked", {"attempt": job.attempt})
    return JobState.RUNNING


def _of_task(task_id: str) -> sa.ColumnElement[bool]:
    shared = sa.select(JobShare.job_id).where(JobShare.task_id == task_id).scalar_subquery()
    return sa.or_(Job.task_id == task_id, Job.id == shared)


def in_state(*states: JobState) -> sa.ColumnElement[bool]:
    """Written out, not bound: a database must see, whatever is asked, that a partial index holds all such jobs."""
    said = [sa.literal(state.value, literal_execute=True) for state in states]
    return Job.state == said[0] if len(said) == 1 else Job.state.in_(said)


_DUE = (
    Job.not_before <= now(),
    Job.cancel_requested_at.is_(None),
    sa.or_(Job.deadline.is_(None), Job.deadline > now()),
)
_CLAIMABLE = (in_state(JobState.QUEUED), *_DUE)
# Asked of rows found before, once they are locked. Said so that no index has it: a Postgres that has not counted the
# jobs yet takes the index of all that wait for the shorter way.
_STILL_CLAIMABLE = (Job.state.concat("") == JobState.QUEUED.value, *_DUE)


@lru_cache(64)  # to put it together costs as much as to send it, and a worker asks for the same classes each time
def _claim_statement(hardware: tuple[str, ...]) -> sa.UpdateBase:
    first = sa.union_all(*[sa.select(_first_waiting(name).subquery().c.id) for name in hardware])
    best = (
        sa.select(Job.id)
        .where(Job.id.in_(first), *_STILL_CLAIMABLE)
        .order_by(Job.priority.desc(), Job.id)
        .limit(1)
        .with_for_update(
            skip_locked=True, key_share=True
        )  # Postgres: two workers never wait for each other; SQLite has one writer
    )
    return (
        sa.update(Job)
        .where(Job.id == best.correlate(None).scalar_subquery())
        .values(
            state=JobState.RUNNING,
            attempt=Job.attempt + 1,
            fence=Job.fence + 1,
            lease_owner=sa.bindparam("owner"),
            lease_until=now() + sa.bindparam("lease", type_=sa.Double),
            heartbeat_at=now(),
            started_at=sa.func.coalesce(Job.started_at, now()),
            progress=None,
        )
        .returning(Job.id, Job.task_id, Job.attempt, Job.fence, Job.deadline - now(), Job.max_attempts)
        .execution_options(synchronize_session=False)
    )


def _first_waiting(hardware: str) -> sa.Select[str]:
    """The jobs of one hardware class that are taken next, more than are taken at the same moment.

    Each class has its own place in the index, so that jobs of other hardware are not read at all.
    """
    waiting = sa.select(Job.id).where(Job.hardware == hardware, *_CLAIMABLE)
    return waiting.order_by(Job.priority.desc(), Job.id).limit(TAKEN_AT_ONCE)


class _Row(NamedTuple):
    """What a statement must know of a row it has locked; an instance of Job would keep old values after an update."""

    id: str
    state: str
    attempt: int
    fence: int
    max_attempts: int
    cancel_requested_at: float | None


def _held(job_id: str, fence: int) -> tuple[sa.ColumnElement[bool], ...]:
    return Job.id == job_id, in_state(JobState.RUNNING), Job.fence == fence


def _lock(session: Session, *where: sa.ColumnElement[bool]) -> _Row | None:
    row = session.execute(_rows(*where).with_for_update(key_share=True)).first()
    return None if row is None else _Row(*row)


def _lock_many(session: Session, limit: int, *where: sa.ColumnElement[bool]) -> list[_Row]:
    rows = _rows(*where).order_by(Job.id).limit(limit).with_for_update(skip_locked=True, key_share=True)
    return [_Row(*row) for row in session.execute(rows)]


def _rows(*where: sa.ColumnElement[bool]) -> sa.Select[str, str, int, int, int, float | None]:
    return sa.select(Job.id, Job.state, Job.attempt, Job.fence, Job.max_attempts, Job.cancel_requested_at).where(*where)


def _end_attempt(
    session: Session,
    job: _Row,
    error: dict[str, Any],
    *,
    permanent: bool,
    backoff: timedelta,
    child: ChildEnd | None = None,
    **values: Any,
) -> JobState:
    """Where a failed attempt leads. A cancel goes before everything; the number of attempts before a retry."""
    cancelled = job.cancel_requested_at is not None
    outcome = CANCELLED if cancelled else error["code"]
    end_attempt(session, job.id, job.fence, outcome, error["detail"], child)
    if cancelled:
        return _change(session, job, JobState.CANCELLED, **values)
    ended = f"attempt {job.attempt} ended with {error['code']}: {error['detail']}"
    if permanent:
        return _fail(session, job, error, f"failed with {error['code']}: {error['detail']}", **values)
    if job.attempt >= job.max_attempts:
        detail = f"the last of {job.max_attempts} attempts; {ended}"
        return _fail(session, job, {"code": EXHAUSTED, "detail": detail, "last_code": error["code"]}, ended, **values)
    not_before = now() + backoff.total_seconds()
    again = f"queued again, {ended}"
    return _change(session, job, JobState.QUEUED, again, "warn", error=error, not_before=not_before, **values)


def _fail(session: Session, job: _Row, error: dict[str, Any], message: str, **values: Any) -> JobState:
    return _change(session, job, JobState.FAILED, message, "error", error=error, **values)


def _change(
    session: Session, job: _Row, state: JobState, message: str = "", level: Level = "info", **values: Any
) -> JobState:
    """Move a locked row to another state and say so in an event."""
    _update(session, job.id, **{**_ending(state), **values})
    data: dict[str, Any] = {"state": state, "attempt": values.get("attempt", job.attempt)}
    if "error" in values:
        data["code"] = values["error"]["code"]
    append_event(session, job.id, "state", level, message or state, data)
    return state


def _ending(state: JobState) -> dict[str, Any]:
    """The columns that say that nobody runs the job any more."""
    values: dict[str, Any] = {"state": state, "lease_owner": None, "lease_until": None}
    if state.terminal:
        values["finished_at"] = now()
    if state in (JobState.SUCCEEDED, JobState.CANCELLED):
        values["error"] = None
    return values


def _update(session: Session, job_id: str, **values: Any) -> None:
    changed = sa.update(Job).where(Job.id == job_id).values(values)
    session.execute(changed.execution_options(synchronize_session=False))
