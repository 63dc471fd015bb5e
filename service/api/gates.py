"""The release gate: verdicts on tasks, and which task was released."""

from __future__ import annotations

from fastapi import APIRouter, Response

from forgetcast import schemas
from forgetcast.errors import WriteConflict
from service.api.dependencies import Measures, Reads, ServiceParts, WhoAsks
from service.api.once import Created, OncePerKey
from service.api.pages import Paged
from service.api.routes import Route
from service.operations import audit, gates, releases
from service.operations.fits import reading_fits
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1", tags=["gate"])

TRIES = 3  # a task may be measured while it is judged


@router.post(
    "/tasks/{task_id}/gate",
    status_code=201,
    dependencies=[Measures],
    summary="Judge a task by a policy",
    response_model=schemas.Gate,
)
def create_gate(task_id: str, wanted: schemas.GateCreate, parts: ServiceParts, once: OncePerKey) -> Response:
    for further in reversed(range(TRIES)):
        with reading_fits(parts.database) as session:
            judged = gates.judge_task(session, parts.cache, task_id, wanted)  # before the transaction: it takes time

        def create(session: Session, judged: gates.Judged = judged) -> Created:
            kept = gates.keep(session, judged)
            return Created(kept, 201, {"Location": f"/v1/gates/{kept.id}"})

        try:
            return once.answer(create)
        except WriteConflict:
            if not further:
                raise
    raise AssertionError("the last try returns or raises")


@router.get("/gates", dependencies=[Reads], summary="List verdicts, oldest first")
def list_gates(parts: ServiceParts, paging: Paged, task: str | None = None) -> schemas.Page[schemas.Gate]:
    with parts.database.read() as session:
        found = gates.list_gates(session, task, paging.after, paging.limit + 1)
    return paging.page([(gate.id, gate) for gate in found])


@router.get("/gates/{gate_id}", dependencies=[Reads], summary="Read a verdict as it was given")
def read_gate(gate_id: str, parts: ServiceParts) -> schemas.Gate:
    with parts.database.read() as session:
        return gates.read_gate(session, gate_id)


@router.post(
    "/tasks/{task_id}/release",
    status_code=201,
    dependencies=[Measures],
    summary="Mark a task's model as released: the baseline of what follows",
    response_model=schemas.Release,
)
def create_release(
    task_id: str, wanted: schemas.ReleaseCreate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey
) -> Response:
    def create(session: Session) -> Created:
        kept = releases.release(session, task_id, wanted)
        audit.record(session, caller, "task.release", task_id, weights_sha256=kept.weights_sha256, gate=kept.gate)
        return Created(kept, 201, {"Location": f"/v1/tasks/{task_id}"})

    return once.answer(create)
