"""Rows of a matrix: import, read, remove, export."""

from __future__ import annotations

from functools import partial
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Header, Query, Request, Response
from pydantic import ValidationError

from forgetcast import schemas, strict_json
from forgetcast.errors import FieldError, InvalidRequest
from forgetcast.wording import sentence
from service.api.answers import IfNoneMatch, unchanged, validators
from service.api.compression import matches
from service.api.dependencies import Administers, Parts, Reads, ServiceParts, WhoAsks
from service.api.downloads import Download
from service.api.media_types import JSON_LINES, NPY, NPZ, PARQUET, media_type_of
from service.api.routes import Route
from service.api.streaming import bounded_by, spooled
from service.operations import audit, matrix_import, rows
from service.operations.npy import read_floats
from service.operations.row_warnings import row_warnings
from service.operations.sizes import n_examples_of_matrix
from service.operations.whole_rows import npy_bytes, npy_chunks

router = APIRouter(route_class=Route, prefix="/v1/matrices/{matrix_id}", tags=["rows"])

READERS = {
    NPY: lambda _session, _matrix_id, body: read_floats(body),
    JSON_LINES: rows.parse_json_row,
    PARQUET: rows.parse_parquet_row,
}


@router.put("/rows/{task_id}", status_code=201, dependencies=[Administers], summary="Import a measured row")
async def put_row(
    matrix_id: str,
    task_id: schemas.Id,
    request: Request,
    response: Response,
    caller: WhoAsks,
    parts: ServiceParts,
    family: Annotated[schemas.Label | None, Query(max_length=128)] = None,
    n_examples: Annotated[schemas.Count | None, Query()] = None,
    repeat_of: schemas.Id | None = None,
    seed: Annotated[int | None, Query(ge=0, lt=2**31, description="of fine-tuning; 0 if nobody says")] = None,
    dataset: Annotated[schemas.Sha256 | None, Query(description="of the fine-tuning data, kept as provenance")] = None,
    recipe: Annotated[str | None, Query(description="JSON of the recipe it was measured under, to be checked")] = None,
    setting: Annotated[str | None, Query(description="JSON of the setting, to be checked")] = None,
) -> schemas.ImportedRow:
    media_type = media_type_of(request, list(READERS))
    await bounded_by(request, parts, partial(n_examples_of_matrix, matrix_id=matrix_id))
    origin = rows.RowOrigin(
        family=family,
        n_examples=n_examples,
        repeat_of=repeat_of,
        seed=seed,
        dataset=dataset,
        recipe=_parsed(schemas.Recipe, recipe),
        setting=_parsed(schemas.Setting, setting),
    )

    def store(body: BinaryIO) -> tuple[schemas.ImportedRow, bool]:
        with parts.database.transaction() as session:
            values = READERS[media_type](session, matrix_id, body)
            task, is_new = rows.import_row(session, matrix_id, task_id, values, origin, parts.settings.max_rows)
            audit.record(session, caller, "row.import", task_id, matrix=matrix_id, row_version=task.row_version)
        with parts.database.read() as session:
            warnings = row_warnings(session, matrix_id, task_id)
        return schemas.ImportedRow(**{**task.model_dump(), "warnings": warnings}), is_new

    task, is_new = await spooled(request, store)
    response.status_code = 201 if is_new else 200
    response.headers["Location"] = f"/v1/tasks/{task.id}"
    return task


@router.put("/rows.npz", dependencies=[Administers], summary="Import a whole matrix from one file, all or nothing")
async def import_rows(
    matrix_id: schemas.Id,
    request: Request,
    caller: WhoAsks,
    parts: ServiceParts,
    definition: Annotated[str, Query(description="JSON of what a matrix is created from")],
) -> schemas.ImportedMatrix:
    media_type_of(request, [NPZ])
    wanted: schemas.MatrixCreate = _parsed(schemas.MatrixCreate, definition)
    if wanted.id not in (None, matrix_id):
        raise InvalidRequest(f"the definition is of the matrix {wanted.id!r}, the path of {matrix_id!r}")
    wanted = wanted.model_copy(update={"id": matrix_id})
    limits = matrix_import.Limits(parts.settings.max_steps, parts.settings.max_rows, parts.settings.max_examples)

    def store(body: BinaryIO) -> schemas.ImportedMatrix:
        known = matrix_import.read_matrix(body)
        with parts.database.transaction() as session:
            made = matrix_import.import_matrix(session, known, wanted, parts.models, limits)
            audit.record(session, caller, "matrix.import", matrix_id, rows=list(made.new_rows))
        return schemas.ImportedMatrix(
            matrix=made.matrix,
            n_rows=known.n_tasks + len(known.repeats),
            new_rows=list(made.new_rows),
            upstream_set_made=made.is_new_set,
            warnings=matrix_import.warnings_of(known),
        )

    return await spooled(request, store)


@router.get("/rows/{task_id}", dependencies=[Reads], summary="Read a known row, float32 (N,)", response_class=Response)
def read_row(matrix_id: str, task_id: str, parts: ServiceParts, if_none_match: IfNoneMatch = None) -> Response:
    with parts.database.read() as session:
        values, row_version = rows.read_row(session, matrix_id, task_id)
    tag = f'"{row_version}"'
    known = matches(tag, if_none_match)
    if known is not None:
        return unchanged(known)
    return Download(npy_chunks(values), NPY, validators(tag), npy_bytes(values.shape))


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


@router.get(
    "/rows.npy", dependencies=[Reads], summary="All known rows by task id, float32 (M, N)", response_class=Response
)
def export_npy(matrix_id: str, parts: ServiceParts, if_none_match: IfNoneMatch = None) -> Response:
    spooled, tag = _spooled(parts, matrix_id, if_none_match)
    if spooled is None:
        return unchanged(tag)
    return Download(spooled.npy(), NPY, validators(tag), npy_bytes(spooled.shape), held=spooled.file)


@router.get("/rows.parquet", dependencies=[Reads], summary="All known rows, a column a task", response_class=Response)
def export_parquet(matrix_id: str, parts: ServiceParts, if_none_match: IfNoneMatch = None) -> Response:
    spooled, tag = _spooled(parts, matrix_id, if_none_match)
    if spooled is None:
        return unchanged(tag)
    return Download(spooled.parquet(), PARQUET, validators(tag), held=spooled.file)


def _spooled(parts: Parts, matrix_id: str, if_none_match: str | None) -> tuple[rows.SpooledRows | None, str]:
    """The rows, unless the caller has those of the matrix's version already; and the ETag."""
    with parts.database.read() as session:
        tag = f'"{rows.matrix_version(session, matrix_id)}"'
        known = matches(tag, if_none_match)
        return (rows.spool_rows(session, matrix_id), tag) if known is None else (None, known)


def _parsed(shape: type[schemas.Shape], content: str | None) -> Any:
    if content is None:
        return None
    try:
        value = strict_json.load(content)
    except ValueError as error:
        name = shape.__name__.lower()
        raise InvalidRequest(f"{name}: {error}", errors=(FieldError(name, str(error)),)) from error
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        pointer = "/".join([shape.__name__.lower(), *map(str, first["loc"])])
        detail = sentence(first)
        raise InvalidRequest(f"{pointer}: {detail}", errors=(FieldError(pointer, detail),)) from error
