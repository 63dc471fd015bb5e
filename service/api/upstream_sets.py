"""Upstream sets: create, fill and seal, read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

from fastapi import APIRouter, Request, Response

from forgetcast import schemas
from forgetcast.layouts.parquet import read_rows
from service.api.dependencies import Administers, Reads, ServiceParts, WhoAsks
from service.api.media_types import JSON_LINES, PARQUET, media_type_of
from service.api.once import Created, OncePerKey
from service.api.pages import Paged
from service.api.routes import Route
from service.api.streaming import spooled
from service.operations import audit, upstream_sets
from service.operations.json_lines import parse_lines
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1/upstream-sets", tags=["upstream sets"])


@router.post(
    "",
    status_code=201,
    dependencies=[Administers],
    summary="Create an empty upstream set",
    response_model=schemas.UpstreamSet,
)
def create_upstream_set(wanted: schemas.UpstreamSetCreate, caller: WhoAsks, once: OncePerKey) -> Response:
    def create(session: Session) -> Created:
        created, is_new = upstream_sets.create_upstream_set(session, wanted)
        if is_new:
            audit.record(session, caller, "upstream_set.create", created.id)
        return Created(created, 201 if is_new else 200, {"Location": f"/v1/upstream-sets/{created.id}"})

    return once.answer(create)


@router.put("/{set_id}/examples", dependencies=[Administers], summary="Fill a set with all its examples and seal it")
async def put_examples(set_id: str, request: Request, caller: WhoAsks, parts: ServiceParts) -> schemas.UpstreamSet:
    media_type = media_type_of(request, [JSON_LINES, PARQUET])

    def register(body: BinaryIO) -> schemas.UpstreamSet:
        with parts.database.transaction() as session:
            examples = _examples(body, media_type)
            sealed = upstream_sets.register_examples(session, set_id, examples, parts.settings.max_examples)
            audit.record(session, caller, "upstream_set.seal", set_id, sha256=sealed.sha256)
            return sealed

    return await spooled(request, register)


@router.get("/{set_id}", dependencies=[Reads], summary="Read an upstream set")
def read_upstream_set(set_id: str, parts: ServiceParts) -> schemas.UpstreamSet:
    with parts.database.read() as session:
        return upstream_sets.read_upstream_set(session, set_id)


@router.get("/{set_id}/examples", dependencies=[Reads], summary="List the examples of a set, in order")
def list_examples(set_id: str, parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.UpstreamExample]:
    with parts.database.read() as session:
        found = upstream_sets.read_examples(session, set_id, paging.after_position, paging.limit + 1)
    return paging.page([(str(position), example) for position, example in found])


def _examples(body: BinaryIO, media_type: str) -> Iterable[tuple[int, schemas.UpstreamExample]]:
    if media_type == PARQUET:
        rows: Iterator[dict[str, Any]] = read_rows(body)
        return upstream_sets.parquet_examples(rows)
    return parse_lines(body, schemas.UpstreamLine)
