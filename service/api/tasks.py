"""Tasks: register, list, read; further jobs; measurements of a training run."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from forgetcast import schemas
from service.api.dependencies import Measures, Parts, Reads, ServiceParts, Submits
from service.api.pages import after, page
from service.operations import forecasts, jobs, tasks
from service.operations.measurements import post_measurements

router = APIRouter(prefix="/v1/tasks", tags=["tasks"])

POLL_AFTER = "2"  # seconds, for clients that poll instead of waiting


@router.post("", status_code=202, dependencies=[Submits], summary="Register a task and order its measuring")
def register_task(wanted: schemas.TaskCreate, response: Response, parts: ServiceParts) -> schemas.Task:
    with parts.database.transaction() as session:
        registered = tasks.register_task(session, wanted)
    if registered.job_id is not None:
        _announce(response, parts, registered.job_id, registered.hardware)
    else:
        response.status_code = 201 if registered.is_new else 200
        response.headers["Location"] = f"/v1/tasks/{registered.task.id}"
    return registered.task


@router.get("", dependencies=[Reads], summary="List tasks")
def list_tasks(
    parts: ServiceParts,
    matrix: str | None = None,
    limit: Annotated[int, Query(ge=1, le=1000)] = 20,
    cursor: str | None = None,
) -> schemas.Page[schemas.Task]:
    with parts.database.read() as session:
        found = tasks.list_tasks(session, matrix, after(cursor), limit + 1)
    return page([(task.id, task) for task in found], limit)


@router.get("/{task_id}", dependencies=[Reads], summary="Read a task")
def read_task(task_id: str, parts: ServiceParts) -> schemas.Task:
    with parts.database.read() as session:
        return tasks.read_task(session, task_id)


@router.post("/{task_id}/jobs", status_code=202, dependencies=[Submits], summary="Order a further measuring")
def create_job(task_id: str, order: schemas.JobCreate, response: Response, parts: ServiceParts) -> schemas.Job:
    with parts.database.transaction() as session:
        job = jobs.view(session, tasks.create_job(session, task_id, order))
    _announce(response, parts, job.id, job.hardware)
    return job


@router.post("/{task_id}/measurements", dependencies=[Measures], summary="Post cells that a training run measured")
def create_measurements(task_id: str, posted: schemas.MeasurementsCreate, parts: ServiceParts) -> schemas.Forecast:
    with parts.database.transaction() as session:
        post_measurements(session, task_id, posted)
    with parts.database.read() as session:
        return forecasts.summary(forecasts.complete(session, parts.cache, task_id))


def _announce(response: Response, parts: Parts, job_id: str, hardware: str) -> None:
    """After the commit: what is in the queue may be lost or doubled, the job row may not."""
    parts.queue.send(job_id, hardware)
    response.headers["Location"] = f"/v1/jobs/{job_id}"
    response.headers["Retry-After"] = POLL_AFTER
