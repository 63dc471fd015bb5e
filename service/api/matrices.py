"""Matrices: create, list, read; what their completion is worth, and which examples to probe."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from forgetcast import schemas
from forgetcast.schemas.reports import MatrixAnalysis, MatrixBacktest
from service.api.dependencies import Administers, Reads, ServiceParts, WhoAsks
from service.api.forecasts import AsOf
from service.api.once import Created, OncePerKey
from service.api.pages import Paged
from service.api.routes import Route
from service.operations import audit, fits, matrices
from service.operations.probe_sets import read_probe_set as read_designed
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1/matrices", tags=["matrices"])


@router.post("", status_code=201, dependencies=[Administers], summary="Create a matrix", response_model=schemas.Matrix)
def create_matrix(wanted: schemas.MatrixCreate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey) -> Response:
    def create(session: Session) -> Created:
        created, is_new = matrices.create_matrix(session, wanted, parts.models, parts.settings.max_steps)
        if is_new:
            audit.record(session, caller, "matrix.create", created.id)
        return Created(created, 201 if is_new else 200, {"Location": f"/v1/matrices/{created.id}"})

    return once.answer(create)


@router.get("", dependencies=[Reads], summary="List matrices")
def list_matrices(parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.Matrix]:
    with parts.database.read() as session:
        found = matrices.list_matrices(session, paging.after, paging.limit + 1)
    return paging.page([(matrix.id, matrix) for matrix in found])


@router.get("/{matrix_id}", dependencies=[Reads], summary="Read a matrix")
def read_matrix(matrix_id: str, parts: ServiceParts) -> schemas.Matrix:
    with parts.database.read() as session:
        return matrices.read_matrix(session, matrix_id)


@router.get(
    "/{matrix_id}/backtest",
    dependencies=[Reads],
    summary="Error on left-out rows, by method",
    response_model=MatrixBacktest,
)
def read_backtest(matrix_id: str, parts: ServiceParts, as_of: AsOf = None) -> dict[str, Any]:
    with fits.reading_fits(parts.database) as session:
        return fits.read_backtest(session, matrix_id, as_of)


@router.get(
    "/{matrix_id}/analysis",
    dependencies=[Reads],
    summary="Rank, noise and extremes of the known rows",
    response_model=MatrixAnalysis,
)
def read_analysis(matrix_id: str, parts: ServiceParts, as_of: AsOf = None) -> dict[str, Any]:
    with fits.reading_fits(parts.database) as session:
        return fits.read_analysis(session, matrix_id, as_of)


@router.get("/{matrix_id}/probe-set", dependencies=[Reads], summary="Which upstream examples to probe")
def read_probe_set(
    matrix_id: str,
    parts: ServiceParts,
    size: Annotated[int, Query(ge=1, le=100_000)] = 30,
    design: schemas.Design = schemas.Design.MIXED,
    seed: Annotated[int, Query(ge=0, lt=2**31)] = 0,
    domain: Annotated[list[str] | None, Query(max_length=100, description="whose error is to be low")] = None,
) -> schemas.ProbeSet:
    with parts.database.read() as session:
        return read_designed(
            session, parts.probe_sets, matrix_id, size=size, design=design, seed=seed, domains=domain or ()
        )
