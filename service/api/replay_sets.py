"""Replay sets by task id: as one document, or as a file that a trainer reads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Response

from forgetcast import schemas
from service.api.dependencies import Reads, ServiceParts
from service.api.forecasts import AsOf, IfNoneMatch, unless_known
from service.api.upstream_sets import JSON_LINES, PARQUET
from service.operations import forecasts
from service.operations.forecasts import Completed
from service.operations.parquet import write_table
from service.operations.replay_sets import ReplayQuery, replay_set

router = APIRouter(prefix="/v1/tasks/{task_id}", tags=["replay sets"])


def asked(
    size: Annotated[int | None, Query(ge=1, le=10_000_000)] = None,
    ratio: Annotated[float | None, Query(gt=0, le=10, description="of the task's examples")] = None,
    strategy: str = "sample",
    temperature: Annotated[float, Query(gt=0, allow_inf_nan=False, description="nats per token")] = 0.1,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    min_per_domain: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    max_weight: Annotated[float | None, Query(gt=0, le=1)] = None,
) -> ReplayQuery:
    return ReplayQuery(size, ratio, strategy, temperature, seed, min_per_domain, max_weight)


Asked = Annotated[ReplayQuery, Depends(asked)]


@router.get(
    "/replay-set", dependencies=[Reads], summary="The replay set and its manifest", response_model=schemas.ReplaySet
)
def read_replay_set(
    task_id: str, parts: ServiceParts, query: Asked, as_of: AsOf = None, if_none_match: IfNoneMatch = None
) -> Response:
    completed, drawn = _drawn(parts, task_id, query, as_of)
    return unless_known(completed, if_none_match, drawn.model_dump_json)


@router.get("/replay-set.jsonl", dependencies=[Reads], summary="The replay set as JSON Lines", response_class=Response)
def read_replay_set_json_lines(
    task_id: str, parts: ServiceParts, query: Asked, as_of: AsOf = None, if_none_match: IfNoneMatch = None
) -> Response:
    completed, drawn = _drawn(parts, task_id, query, as_of)

    def body() -> str:
        return "".join(example.model_dump_json(exclude_none=True) + "\n" for example in drawn.data)

    return unless_known(completed, if_none_match, body, JSON_LINES)


@router.get("/replay-set.parquet", dependencies=[Reads], summary="The replay set as Parquet", response_class=Response)
def read_replay_set_parquet(
    task_id: str, parts: ServiceParts, query: Asked, as_of: AsOf = None, if_none_match: IfNoneMatch = None
) -> Response:
    completed, drawn = _drawn(parts, task_id, query, as_of)
    examples = [example.model_dump() for example in drawn.data]
    columns = {name: [example[name] for example in examples] for name in schemas.ReplayExample.model_fields}
    return unless_known(completed, if_none_match, lambda: write_table(columns), PARQUET)


def _drawn(
    parts: ServiceParts, task_id: str, query: ReplayQuery, as_of: int | None
) -> tuple[Completed, schemas.ReplaySet]:
    with parts.database.read() as session:
        completed = forecasts.complete(session, parts.cache, task_id, as_of=as_of)
        return completed, replay_set(session, completed, query)
