"""Read, cancel and follow jobs."""

from __future__ import annotations

from typing import Any

import numpy as np

from forgetcast import schemas
from service.operations.job_errors import hint_for
from service.storage import events as event_storage
from service.storage import jobs as storage
from service.storage.attempts import list_attempts
from service.storage.database import Session, moment
from service.storage.matrices import get_matrix
from service.storage.tables import Event, Job, JobAttempt, Task, UpstreamSet


def read_job(session: Session, job_id: str) -> schemas.Job:
    """The job with this id. Raises JobNotFound."""
    return view(session, storage.get_job(session, job_id))


def cancel_job(session: Session, job_id: str) -> schemas.Job:
    """Ask a job to end: at once when queued, within seconds when running. Raises JobNotFound, JobEnded."""
    storage.cancel(session, job_id)
    session.expire_all()
    return read_job(session, job_id)


def list_events(session: Session, job_id: str, after: int, limit: int) -> list[schemas.Event]:
    """Up to `limit` events of a job after the one with this id, oldest first. Raises JobNotFound."""
    storage.get_job(session, job_id)
    return [_event(found) for found in event_storage.list_events(session, job_id, after, limit)]


def view(session: Session, job: Job) -> schemas.Job:
    if job.created_at is None:
        session.refresh(job)
    state = schemas.JobState(job.state)
    return schemas.Job(
        id=job.id,
        task=job.task_id,
        measure=schemas.Measure(job.measure),
        n_examples=_n_examples(session, job),
        design=None if job.design is None else schemas.Design(job.design),
        designed_from=job.designed_from,
        state=state,
        terminal=state.terminal,
        attempt=job.attempt,
        max_attempts=job.max_attempts,
        cancel_requested=job.cancel_requested_at is not None,
        progress=None if job.progress is None else schemas.Progress.model_validate(job.progress),
        error=None if job.error is None else _error(job.error),
        attempts=[_attempt(found) for found in list_attempts(session, job.id)],
        seconds=None if job.report is None else job.report.get("seconds"),
        priority=job.priority,
        hardware=job.hardware,
        created_at=moment(job.created_at),
        started_at=moment(job.started_at),
        finished_at=moment(job.finished_at),
    )


def _n_examples(session: Session, job: Job) -> int:
    if job.positions is not None:
        return len(np.frombuffer(job.positions, "<i4"))
    matrix = get_matrix(session, session.get_one(Task, job.task_id).matrix_id)
    return session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples or 0


def _error(stored: dict[str, Any]) -> schemas.JobError:
    last_code = stored.get("last_code")
    hint = hint_for(last_code or stored["code"])
    return schemas.JobError(code=stored["code"], detail=stored["detail"], hint=hint, last_code=last_code)


def _attempt(found: JobAttempt) -> schemas.Attempt:
    started_at = moment(found.started_at)
    assert started_at is not None
    return schemas.Attempt(
        attempt=found.attempt,
        worker=found.worker,
        gpu=found.gpu,
        outcome=found.outcome,
        detail=found.detail,
        exit_status=found.exit_status,
        max_rss=found.max_rss,
        started_at=started_at,
        ended_at=moment(found.ended_at),
    )


def _event(found: Event) -> schemas.Event:
    return schemas.Event.model_validate(
        {
            "id": found.id,
            "type": found.type,
            "level": found.level,
            "message": found.message,
            "data": found.data,
            "created_at": moment(found.created_at),
        }
    )
