"""Replay sets by task id: as one document, or as a file that a trainer reads."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from forgetcast import schemas
from forgetcast.replay_formats import replay_parquet
from service.api.answers import IfNoneMatch, answer
from service.api.dependencies import Reads, ServiceParts
from service.api.forecasts import AsOf
from service.api.media_types import JSON_LINES, PARQUET
from service.api.questions import Asked, Question
from service.api.routes import Route
from service.operations import replay_sets
from service.operations.forecast_cache import Completed
from service.operations.replay_sets import ReplayQuery
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1/tasks/{task_id}", tags=["replay sets"])


def asked(
    size: Annotated[int | None, Query(ge=1, le=10_000_000)] = None,
    ratio: Annotated[float | None, Query(gt=0, le=10, description="of the task's examples; 1/32 by default")] = None,
    strategy: str = "sample",
    temperature: Annotated[float, Query(gt=0, allow_inf_nan=False, description="nats per token")] = 0.1,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    min_per_domain: Annotated[int, Query(ge=0, le=10_000_000)] = 0,
    max_weight: Annotated[
        float | None,
        Query(gt=0, le=1, description="largest share of one example; 0.01, or ten even shares of a small set"),
    ] = None,
    format: Annotated[schemas.ReplayFormat, Query(description="of a line")] = schemas.ReplayFormat.EXAMPLES,
    fence: Annotated[
        str | None,
        Query(
            max_length=128,
            description="a task to be judged: none of its random probes, and nothing that its policies protect, is in "
            "the set",
        ),
    ] = None,
) -> ReplayQuery:
    return ReplayQuery(size, ratio, strategy, temperature, seed, min_per_domain, max_weight, format, fence)


Asking = Annotated[ReplayQuery, Depends(asked)]


@router.get(
    "/replay-set", dependencies=[Reads], summary="The replay set and its manifest", response_model=schemas.ReplaySet
)
async def read_replay_set(
    task_id: str,
    request: Request,
    parts: ServiceParts,
    query: Asking,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    def body(session: Session, completed: Completed) -> bytes:
        return replay_sets.replay_set(session, completed, query).model_dump_json().encode()

    question = Question(Asked(task_id, as_of=as_of), ("replay-set", query), holds=query.fence is None)
    return await answer(request, parts, question, if_none_match, body)


@router.get("/replay-set.jsonl", dependencies=[Reads], summary="The replay set as JSON Lines", response_class=Response)
async def read_replay_set_json_lines(
    task_id: str,
    request: Request,
    parts: ServiceParts,
    query: Asking,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    def body(session: Session, completed: Completed) -> bytes:
        return replay_sets.lines(replay_sets.replay_set(session, completed, query).data, query.format)

    question = Question(Asked(task_id, as_of=as_of), ("replay-set.jsonl", query), JSON_LINES, query.fence is None)
    return await answer(request, parts, question, if_none_match, body)


@router.get("/replay-set.parquet", dependencies=[Reads], summary="The replay set as Parquet", response_class=Response)
async def read_replay_set_parquet(
    task_id: str,
    request: Request,
    parts: ServiceParts,
    query: Asking,
    as_of: AsOf = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    def body(session: Session, completed: Completed) -> bytes:
        return replay_parquet(replay_sets.replay_set(session, completed, query).data, query.format)

    question = Question(Asked(task_id, as_of=as_of), ("replay-set.parquet", query), PARQUET, query.fence is None)
    return await answer(request, parts, question, if_none_match, body)
