"""Forecasts by task id: summary, most forgotten examples, the whole row."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from forgetcast import schemas
from service.api.answers import IfNoneMatch, answer, completed, validators
from service.api.dependencies import Reads, ServiceParts
from service.api.downloads import Download
from service.api.media_types import JSON_LINES, NPY, PARQUET
from service.api.questions import Asked, Question
from service.api.routes import Route
from service.operations import forecasts
from service.operations.forecast_cache import Completed
from service.operations.forecasts import DEFAULT_LEVEL
from service.operations.whole_rows import forecast_lines, forecast_parquet, npy_bytes, npy_chunks
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1/tasks/{task_id}", tags=["forecasts"])

Level = Annotated[float, Query(ge=0.01, le=0.9999, description="share of cells the intervals are meant to cover")]
AsOf = Annotated[int | None, Query(ge=0, lt=2**31, description="a matrix version; the newest fitted one by default")]
Unmeasured = Annotated[bool, Query(description="answer also before anything is measured: what tasks forget on average")]


@router.get("/forecast", dependencies=[Reads], summary="The forecast in short", response_model=schemas.Forecast)
async def read_forecast(
    task_id: str,
    request: Request,
    parts: ServiceParts,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    allow_unmeasured: Unmeasured = False,
    above: Annotated[
        float | None, Query(allow_inf_nan=False, description="nats per token: how many examples are forgotten by more?")
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    def body(_session: Session, completed: Completed) -> bytes:
        return forecasts.summary(completed, above=above).model_dump_json().encode()

    question = Question(Asked(task_id, level, as_of, allow_unmeasured), ("forecast", above))
    return await answer(request, parts, question, if_none_match, body)


@router.get("/forgotten", dependencies=[Reads], summary="The examples forgotten most", response_model=schemas.Forgotten)
async def read_forgotten(
    task_id: str,
    request: Request,
    parts: ServiceParts,
    k: Annotated[int, Query(ge=1, le=100_000, description="how many")] = 20,
    domain: Annotated[str | None, Query(max_length=128)] = None,
    min: Annotated[  # the query's name
        float | None, Query(allow_inf_nan=False, description="at least so much, nats per token")
    ] = None,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    allow_unmeasured: Unmeasured = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    def body(_session: Session, completed: Completed) -> bytes:
        return forecasts.forgotten(completed, k, domain=domain, at_least=min).model_dump_json().encode()

    question = Question(Asked(task_id, level, as_of, allow_unmeasured), ("forgotten", k, domain, min))
    return await answer(request, parts, question, if_none_match, body)


@router.get("/forgetting.npy", dependencies=[Reads], summary="The whole row, float32 (N,)", response_class=Response)
async def read_row_npy(
    task_id: str, parts: ServiceParts, as_of: AsOf = None, if_none_match: IfNoneMatch = None
) -> Response:
    found = await completed(parts, Asked(task_id, as_of=as_of), if_none_match)
    if isinstance(found, Response):
        return found
    mean = found.shown(found.row.mean)
    return Download(npy_chunks(mean), NPY, validators(found.etag), npy_bytes(mean.shape))


@router.get("/forgetting.parquet", dependencies=[Reads], summary="The whole row as Parquet", response_class=Response)
async def read_row_parquet(
    task_id: str,
    parts: ServiceParts,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    found = await completed(parts, Asked(task_id, level, as_of), if_none_match)
    return found if isinstance(found, Response) else Download(forecast_parquet(found), PARQUET, validators(found.etag))


@router.get("/forgetting.jsonl", dependencies=[Reads], summary="The whole row as JSON Lines", response_class=Response)
async def read_row_json_lines(
    task_id: str,
    parts: ServiceParts,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    found = await completed(parts, Asked(task_id, level, as_of), if_none_match)
    return found if isinstance(found, Response) else Download(forecast_lines(found), JSON_LINES, validators(found.etag))
