"""Whether the process lives, can serve, and what it has counted. The first two answer while the database hangs."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter, Request, Response

from forgetcast import schemas
from forgetcast.errors import ForgetcastError, ModelsUnreadable
from service import metrics
from service.api.dependencies import Parts, Reads, ServiceParts
from service.api.looking import Look
from service.api.routes import Route
from service.operations.fits import count_failures
from service.operations.queue import read_queue
from service.operations.workers import list_workers
from service.storage.schema import check_schema

router = APIRouter(route_class=Route, tags=["operation"])

NO_ANSWER = "the database does not answer within 2 s"
NO_QUEUE = "the queue (Redis) does not answer: workers find jobs in the database, some seconds later"
NO_MODEL = "no base model is registered: no matrix can be made; name one in models.toml (FORGETCAST_MODELS)"
BAD_MODELS = "models.toml cannot be read: no matrix can be made; GET /v1/models says what is wrong with it"
NO_WORKER = "no worker was seen within one lease: jobs wait; start one with `forgetcast worker`"


class Looks:
    """What the probes of this process ask."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.database = Look(self._ask_database)
        self.queue = Look(parts.queue.answers)
        self.state = Look(self._ask_state)

    def _ask_database(self) -> schemas.Ready:
        missing, warnings = [], []
        try:
            check_schema(self._parts.database)
            warnings += self._of_models()
            with self._parts.database.read() as session:
                if not any(worker.alive for worker in list_workers(session, self._parts.settings.lease)):
                    warnings.append(NO_WORKER)
        except ForgetcastError as error:
            missing.append(str(error))
        return schemas.Ready(ready=not missing, missing=missing, warnings=warnings)

    def _of_models(self) -> list[str]:
        """Without names of files, for a stranger may ask too."""
        try:
            return [] if self._parts.models().entries else [NO_MODEL]
        except ModelsUnreadable:
            return [BAD_MODELS]

    def _ask_state(self) -> tuple[schemas.Queue, list[schemas.Worker], int] | None:
        lease = self._parts.settings.lease
        try:
            check_schema(self._parts.database)
            with self._parts.database.read() as session:
                return read_queue(session, lease), list_workers(session, lease), count_failures(session)
        except ForgetcastError:
            return None


def _looks(request: Request, parts: Parts) -> Looks:
    if not hasattr(request.app.state, "looks"):
        request.app.state.looks = Looks(parts)
    looks: Looks = request.app.state.looks
    return looks


@router.get("/healthz", summary="The process lives")
async def read_health() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz", summary="What is missing before requests can be served", responses={503: {"model": schemas.Ready}}
)
async def read_readiness(request: Request, response: Response, parts: ServiceParts) -> schemas.Ready:
    looks = _looks(request, parts)
    found, queue_answers = await asyncio.gather(looks.database(), looks.queue())
    missing = [NO_ANSWER] if found is None else list(found.missing)
    if parts.draining.is_set():
        missing.insert(0, "this process is ending; another one takes over")
    warnings = [] if found is None else list(found.warnings)
    if not queue_answers:
        warnings.append(NO_QUEUE)
    response.status_code = 503 if missing else 200
    return schemas.Ready(ready=not missing, missing=missing, warnings=warnings)


@router.get("/metrics", dependencies=[Reads], summary="What Prometheus reads", response_class=Response)
async def read_metrics(request: Request, parts: ServiceParts) -> Response:
    state = await _looks(request, parts).state()
    gauges = metrics.QueueGauges()
    if state is not None:
        gauges.fill(*state)
    return Response(metrics.exposition(gauges.registry), media_type=metrics.CONTENT_TYPE)
