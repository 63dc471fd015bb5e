"""Fine-tuning data sets, by content."""

from __future__ import annotations

from typing import BinaryIO

from fastapi import APIRouter, Request, Response

from forgetcast import schemas
from service.api.dependencies import ServiceParts, Submits
from service.api.media_types import GZIP, JSON, JSON_LINES, PARQUET, ZSTD, media_type_of
from service.api.routes import Route
from service.api.streaming import spooled
from service.operations.datasets import store_dataset

router = APIRouter(route_class=Route, prefix="/v1/datasets", tags=["data sets"])

# What a data set may be called; what it is, its first bytes say.
WRAPPED = (JSON_LINES, JSON, GZIP, ZSTD, PARQUET)


@router.put(
    "/{sha256}", status_code=201, dependencies=[Submits], summary="Upload fine-tuning data, in any usual layout"
)
async def put_dataset(
    sha256: schemas.Sha256, request: Request, response: Response, parts: ServiceParts
) -> schemas.Dataset:
    media_type_of(request, WRAPPED)

    def store(body: BinaryIO) -> tuple[schemas.Dataset, bool]:
        with parts.database.transaction() as session:
            return store_dataset(session, sha256, body, parts.settings.max_dataset_lines)

    stored, is_new = await spooled(request, store)
    response.status_code = 201 if is_new else 200
    return stored
