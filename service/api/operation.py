"""What an operator looks at: models, workers, the queue."""

from __future__ import annotations

from fastapi import APIRouter

from forgetcast import schemas
from service.api.dependencies import Reads, ServiceParts
from service.api.pages import Paged
from service.api.routes import Route
from service.operations import queue, workers

router = APIRouter(route_class=Route, prefix="/v1", tags=["operation"])


@router.get("/models", dependencies=[Reads], summary="Base models that tasks can be fine-tuned from")
def list_models(parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.Model]:
    entries = parts.models().entries
    models = {name: schemas.Model(id=name, revision=files.revision or None) for name, files in entries.items()}
    return paging.page_of_all(models)


@router.get("/workers", dependencies=[Reads], summary="Workers, with what they work on")
def list_workers(parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.Worker]:
    with parts.database.read() as session:
        found = workers.list_workers(session, parts.settings.lease)
    return paging.page_of_all({worker.id: worker for worker in found})


@router.get("/queue", dependencies=[Reads], summary="What waits, what runs, when the next job would start")
def read_queue(parts: ServiceParts) -> schemas.Queue:
    with parts.database.read() as session:
        return queue.read_queue(session, parts.settings.lease)
