"""Rows of a matrix: import, read, remove, export."""

from __future__ import annotations

import io
from typing import Annotated, Any, BinaryIO

import numpy as np
from fastapi import APIRouter, Header, Query, Request, Response
from numpy.typing import NDArray
from pydantic import ValidationError

from forgetcast import schemas
from forgetcast.errors import FieldError, InvalidRequest
from service.api.dependencies import Administers, Reads, ServiceParts, WhoAsks
from service.api.streaming import spooled
from service.api.upstream_sets import JSON_LINES, PARQUET, media_type_of
from service.operations import audit, rows
from service.operations.parquet import write_table

router = APIRouter(prefix="/v1/matrices/{matrix_id}", tags=["rows"])

NPY = "application/x-npy"


@router.put("/rows/{task_id}", status_code=201, dependencies=[Administers], summary="Import a measured row")
async def put_row(
    matrix_id: str,
    task_id: schemas.Id,
    request: Request,
    response: Response,
    caller: WhoAsks,
    parts: ServiceParts,
    family: Annotated[schemas.Text | None, Query(max_length=128)] = None,
    n_examples: Annotated[schemas.Count | None, Query()] = None,
    repeat_of: schemas.Id | None = None,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    dataset: Annotated[schemas.Sha256 | None, Query(description="of the fine-tuning data, kept as provenance")] = None,
    recipe: Annotated[str | None, Query(description="JSON of the recipe it was measured under, to be checked")] = None,
    setting: Annotated[str | None, Query(description="JSON of the setting, to be checked")] = None,
) -> schemas.Task:
    media_type = media_type_of(request, {JSON_LINES, NPY})
    origin = rows.RowOrigin(
        family=family,
        n_examples=n_examples,
        repeat_of=repeat_of,
        seed=seed,
        dataset=dataset,
        recipe=_parsed(schemas.Recipe, recipe),
        setting=_parsed(schemas.Setting, setting),
    )

    def store(body: BinaryIO) -> tuple[schemas.Task, bool]:
        with parts.database.transaction() as session:
            values = rows.parse_npy(body) if media_type == NPY else rows.parse_json_row(session, matrix_id, body)
            imported = rows.import_row(session, matrix_id, task_id, values, origin)
            audit.record(session, caller, "row.import", task_id, matrix=matrix_id, row_version=imported[0].row_version)
            return imported

    task, is_new = await spooled(request, store)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/tasks/{task.id}"
    return task


@router.get("/rows/{task_id}", dependencies=[Reads], summary="Read a known row", response_class=Response)
def read_row(matrix_id: str, task_id: str, parts: ServiceParts) -> Response:
    with parts.database.read() as session:
        values, row_version = rows.read_row(session, matrix_id, task_id)
    return Response(npy(values), media_type=NPY, headers={"ETag": f'"{row_version}"'})


@router.delete("/rows/{task_id}", status_code=204, dependencies=[Administers], summary="Remove a row")
def delete_row(
    matrix_id: str,
    task_id: str,
    caller: WhoAsks,
    parts: ServiceParts,
    if_match: Annotated[str, Header(description="the row's ETag")],
) -> None:
    row_version = if_match.strip().strip('"')
    if not row_version.isdecimal():
        raise InvalidRequest("If-Match is the ETag with which the row was read")
    with parts.database.transaction() as session:
        rows.remove_row(session, matrix_id, task_id, int(row_version))
        audit.record(session, caller, "row.remove", task_id, matrix=matrix_id, row_version=int(row_version))


@router.get("/rows.npy", dependencies=[Reads], summary="All known rows, float32 (M, N)", response_class=Response)
def export_npy(matrix_id: str, parts: ServiceParts) -> Response:
    with parts.database.read() as session:
        _ids, _columns, values = rows.export_rows(session, matrix_id)
    return Response(npy(values), media_type=NPY)


@router.get("/rows.parquet", dependencies=[Reads], summary="All known rows, a column a task", response_class=Response)
def export_parquet(matrix_id: str, parts: ServiceParts) -> Response:
    with parts.database.read() as session:
        task_ids, columns, values = rows.export_rows(session, matrix_id)
    table: dict[str, Any] = {"example_id": list(columns.example_ids), "domain": list(columns.domains)}
    table |= {task_id: _nulls(row) for task_id, row in zip(task_ids, values, strict=True)}
    return Response(write_table(table), media_type=PARQUET)


def npy(values: NDArray[Any]) -> bytes:
    """An array as the bytes of a .npy file."""
    target = io.BytesIO()
    np.save(target, values, allow_pickle=False)
    return target.getvalue()


def _nulls(row: NDArray[np.float32]) -> Any:
    import pyarrow

    return pyarrow.array(row, from_pandas=True)  # NaN as null


def _parsed(shape: type[schemas.Shape], content: str | None) -> Any:
    if content is None:
        return None
    try:
        return shape.model_validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "/".join([shape.__name__.lower(), *map(str, first["loc"])])
        raise InvalidRequest(f"{pointer}: {first['msg']}", errors=(FieldError(pointer, first["msg"]),)) from error
