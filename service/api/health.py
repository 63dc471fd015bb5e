"""Whether the process lives, and whether it can serve."""

from __future__ import annotations

from fastapi import APIRouter, Response

from forgetcast import schemas
from forgetcast.errors import ForgetcastError
from service import metrics
from service.api.dependencies import Reads, ServiceParts
from service.storage.schema import check_schema

router = APIRouter(tags=["operation"])


@router.get("/healthz", summary="The process lives")
async def read_health() -> dict[str, str]:
    return {"status": "ok"}


@router.get(
    "/readyz", summary="What is missing before requests can be served", responses={503: {"model": schemas.Ready}}
)
def read_readiness(response: Response, parts: ServiceParts) -> schemas.Ready:
    missing = []
    try:
        check_schema(parts.database)
    except ForgetcastError as error:
        missing.append(str(error))
    response.status_code = 503 if missing else 200
    return schemas.Ready(ready=not missing, missing=missing)


@router.get("/metrics", dependencies=[Reads], summary="What Prometheus reads", response_class=Response)
def read_metrics() -> Response:
    return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)
