"""Tasks: register, list, read; further jobs; measurements of a training run."""

from __future__ import annotations

from functools import partial
from typing import BinaryIO

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from forgetcast import schemas
from forgetcast.errors import ForgetcastError
from service.api.dependencies import Measures, Parts, Reads, ServiceParts, Submits, WhoAsks
from service.api.jobs import POLL_AFTER
from service.api.large_documents import LargeDocument
from service.api.media_types import JSON, media_type_of
from service.api.once import REPLAYED, Created, OncePerKey, OnceRead
from service.api.pages import Paged
from service.api.routes import Route
from service.api.streaming import bounded_by, spooled
from service.operations import forecasts, jobs, tasks
from service.operations.measurements import post_measurements
from service.operations.sizes import n_examples_of_task
from service.operations.workers import order_warnings
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1/tasks", tags=["tasks"])

PIECE = 1 << 16
MEASUREMENTS = LargeDocument(schemas.MeasurementsCreate, "cells", schemas.Cell)


@router.post(
    "",
    status_code=202,
    dependencies=[Submits],
    summary="Register a task and order its measuring",
    response_model=schemas.Task,
)
def register_task(wanted: schemas.TaskCreate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey) -> Response:
    with parts.database.read() as session:
        probes = parts.probe_sets.for_order(session, wanted.matrix, wanted)  # before the transaction: it may take time
    submitter = tasks.Submitter(caller.key_id, parts.settings.max_queued_jobs)

    def create(session: Session) -> Created:
        registered = tasks.register_task(session, wanted, submitter, probes)
        if registered.job_id is not None:
            warnings = order_warnings(session, registered.hardware, parts.settings.lease)
            task = registered.task.model_copy(update={"warnings": warnings})
            return _ordered(task, registered.job_id, registered.hardware)
        location = {"Location": f"/v1/tasks/{registered.task.id}"}
        return Created(registered.task, 201 if registered.is_new else 200, location)

    return once.answer(create)


@router.get("", dependencies=[Reads], summary="List tasks")
def list_tasks(parts: ServiceParts, paging: Paged, matrix: str | None = None) -> schemas.Page[schemas.Task]:
    with parts.database.read() as session:
        found = tasks.list_tasks(session, matrix, paging.after, paging.limit + 1)
    return paging.page([(task.id, task) for task in found])


@router.get("/{task_id}", dependencies=[Reads], summary="Read a task")
def read_task(task_id: str, parts: ServiceParts) -> schemas.Task:
    with parts.database.read() as session:
        return tasks.read_task(session, task_id)


@router.post(
    "/{task_id}/jobs",
    status_code=202,
    dependencies=[Submits],
    summary="Order a further measuring",
    response_model=schemas.Job,
)
def create_job(
    task_id: str, order: schemas.JobCreate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey
) -> Response:
    with parts.database.read() as session:
        probes = parts.probe_sets.for_order(session, tasks.read_task(session, task_id).matrix, order)
    submitter = tasks.Submitter(caller.key_id, parts.settings.max_queued_jobs)

    def create(session: Session) -> Created:
        job = jobs.view(session, tasks.create_job(session, task_id, order, submitter, probes))
        warnings = order_warnings(session, job.hardware, parts.settings.lease)
        return _ordered(job.model_copy(update={"warnings": warnings}), job.id, job.hardware)

    return once.answer(create)


@router.post(
    "/{task_id}/measurements",
    dependencies=[Measures],
    summary="Post cells that a training run measured",
    response_model=schemas.Forecast,
    responses={202: {"model": schemas.Task, "description": "The cells are stored; `warnings` says why no forecast is"}},
)
async def create_measurements(task_id: str, request: Request, parts: ServiceParts, once: OnceRead) -> Response:
    media_type_of(request, [JSON])
    n_examples = await bounded_by(request, parts, partial(n_examples_of_task, task_id=task_id))

    def store(body: BinaryIO) -> Response:
        this = once.read(iter(partial(body.read, PIECE), b""))
        body.seek(0)
        posted = MEASUREMENTS.read(body, most=n_examples)
        with parts.database.transaction() as session:
            is_replay = this.is_replay(session)
            if not is_replay:
                post_measurements(session, task_id, posted)
            task = tasks.read_task(session, task_id)
        return _measured(parts, task, REPLAYED if is_replay else {})

    return await spooled(request, store)


def _measured(parts: Parts, task: schemas.Task, headers: dict[str, str]) -> Response:
    """The forecast, else that the cells are there all the same and must not be sent again."""
    try:
        with parts.database.read() as session:
            forecast = forecasts.summary(forecasts.complete(session, parts.cache, task.id))
        return Response(forecast.model_dump_json(), headers=headers, media_type=JSON)
    except ForgetcastError as error:
        stored = task.model_copy(update={"warnings": [f"{error.code}: {error}"]})
        location = {"Location": f"/v1/tasks/{task.id}/forecast", "Retry-After": POLL_AFTER}
        return JSONResponse(stored.model_dump(mode="json"), 202, headers | location)


def _ordered(body: schemas.Task | schemas.Job, job_id: str, hardware: str) -> Created:
    headers = {"Location": f"/v1/jobs/{job_id}", "Retry-After": POLL_AFTER}
    return Created(body, 202, headers, job=(job_id, hardware))
