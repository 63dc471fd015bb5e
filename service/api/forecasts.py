"""Forecasts by task id: summary, most forgotten examples, the whole row."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Response
from fastapi.responses import StreamingResponse

from forgetcast import schemas
from service.api.compression import matches
from service.api.dependencies import Parts, Reads, ServiceParts
from service.api.rows import NPY, npy
from service.api.upstream_sets import JSON_LINES, PARQUET
from service.operations import forecasts
from service.operations.forecasts import DEFAULT_LEVEL, Completed
from service.operations.parquet import write_table

router = APIRouter(prefix="/v1/tasks/{task_id}", tags=["forecasts"])

Level = Annotated[float, Query(gt=0, lt=1, description="share of cells the intervals are meant to cover")]
AsOf = Annotated[int | None, Query(ge=0, lt=2**31, description="a matrix version; the newest fitted one by default")]
Unmeasured = Annotated[bool, Query(description="answer also before anything is measured: what tasks forget on average")]
IfNoneMatch = Annotated[str | None, Header()]


def complete(parts: Parts, task_id: str, level: float, as_of: int | None, allow_unmeasured: bool) -> Completed:
    with parts.database.read() as session:
        return forecasts.complete(
            session, parts.cache, task_id, level=level, as_of=as_of, allow_unmeasured=allow_unmeasured
        )


@router.get("/forecast", dependencies=[Reads], summary="The forecast in short", response_model=schemas.Forecast)
def read_forecast(
    task_id: str,
    parts: ServiceParts,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    allow_unmeasured: Unmeasured = False,
    if_none_match: IfNoneMatch = None,
) -> Response:
    completed = complete(parts, task_id, level, as_of, allow_unmeasured)
    return unless_known(completed, if_none_match, lambda: forecasts.summary(completed).model_dump_json())


@router.get("/forgotten", dependencies=[Reads], summary="The examples forgotten most", response_model=schemas.Forgotten)
def read_forgotten(
    task_id: str,
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
    completed = complete(parts, task_id, level, as_of, allow_unmeasured)

    def body() -> str:
        return forecasts.forgotten(completed, k, domain=domain, at_least=min).model_dump_json()

    return unless_known(completed, if_none_match, body)


@router.get("/forgetting.npy", dependencies=[Reads], summary="The whole row, float32 (N,)", response_class=Response)
def read_row_npy(task_id: str, parts: ServiceParts, as_of: AsOf = None, if_none_match: IfNoneMatch = None) -> Response:
    completed = complete(parts, task_id, DEFAULT_LEVEL, as_of, False)
    return unless_known(completed, if_none_match, lambda: npy(completed.row.mean.astype("<f4")), NPY)


@router.get("/forgetting.parquet", dependencies=[Reads], summary="The whole row as Parquet", response_class=Response)
def read_row_parquet(
    task_id: str,
    parts: ServiceParts,
    level: Level = DEFAULT_LEVEL,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    completed = complete(parts, task_id, level, as_of, False)
    return unless_known(completed, if_none_match, lambda: write_table(_columns(completed)), PARQUET)


@router.get(
    "/forgetting.jsonl", dependencies=[Reads], summary="The whole row as JSON Lines", response_class=StreamingResponse
)
def read_row_json_lines(
    task_id: str, parts: ServiceParts, level: Level = DEFAULT_LEVEL, as_of: AsOf = None
) -> StreamingResponse:
    completed = complete(parts, task_id, level, as_of, False)
    return StreamingResponse(_lines(completed), media_type=JSON_LINES, headers={"ETag": completed.etag})


def unless_known(
    completed: Completed, if_none_match: str | None, body: Any, media_type: str = "application/json"
) -> Response:
    """The body with its ETag, or 304 when the caller has it already."""
    headers = {"ETag": completed.etag, "Cache-Control": "private, no-cache"}
    known = matches(completed.etag, if_none_match)
    if known is not None:
        return Response(status_code=304, headers=headers | {"ETag": known})
    return Response(body(), media_type=media_type, headers=headers)


def _columns(completed: Completed) -> dict[str, Any]:
    row = completed.row
    return {
        "example_id": list(completed.columns.example_ids),
        "domain": list(completed.columns.domains),
        "forgetting": row.mean.astype("f4"),
        "low": row.low.astype("f4"),
        "high": row.high.astype("f4"),
        "measured": row.measured,
        "promised": row.promised,
    }


def _lines(completed: Completed) -> Iterator[str]:
    everything = forecasts.forgotten(completed, completed.row.mean.size)
    for start in range(0, len(everything.data), 1000):
        yield "".join(example.model_dump_json() + "\n" for example in everything.data[start : start + 1000])
