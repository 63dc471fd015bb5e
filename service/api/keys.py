"""API keys, and what administrators did. A secret is in one answer only: that which makes its key."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Response

from forgetcast import schemas
from service.api.dependencies import Administers, ServiceParts, WhoAsks
from service.api.once import Created, OncePerKey
from service.api.pages import Paged
from service.api.routes import Route
from service.operations import audit, keys
from service.storage.database import Session

router = APIRouter(route_class=Route, prefix="/v1", tags=["keys"], dependencies=[Administers])

SECRET = frozenset({"key"})


@router.post("/api-keys", status_code=201, summary="Make an API key", response_model=schemas.ApiKeyCreated)
def create_api_key(wanted: schemas.ApiKeyCreate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey) -> Response:
    def create(session: Session) -> Created:
        expires_in = None if wanted.expires_in is None else timedelta(seconds=wanted.expires_in)
        created = keys.new_key(session, wanted.name, wanted.scopes, expires_in)
        audit.record(session, caller, "key.create", created.id, name=created.name, scopes=created.scopes)
        return _created(created)

    answer = once.answer(create)
    parts.known_keys.forget()
    return answer


@router.get("/api-keys", summary="List API keys, without their secrets")
def list_api_keys(parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.ApiKey]:
    with parts.database.read() as session:
        found = keys.list_keys(session, paging.after, paging.limit + 1)
    return paging.page([(key.id, key) for key in found])


@router.get("/api-keys/{key_id}", summary="Read an API key, without its secret")
def read_api_key(key_id: str, parts: ServiceParts) -> schemas.ApiKey:
    with parts.database.read() as session:
        return keys.read_key(session, key_id)


@router.post(
    "/api-keys/{key_id}/rotate",
    status_code=201,
    summary="Make a key's successor; both work for a while",
    response_model=schemas.ApiKeyCreated,
)
def rotate_api_key(
    key_id: str, wanted: schemas.ApiKeyRotate, caller: WhoAsks, parts: ServiceParts, once: OncePerKey
) -> Response:
    def create(session: Session) -> Created:
        created = keys.rotate_key(session, key_id, timedelta(seconds=wanted.overlap))
        audit.record(session, caller, "key.rotate", key_id, successor=created.id, overlap=wanted.overlap)
        return _created(created)

    answer = once.answer(create)
    parts.known_keys.forget()
    return answer


@router.delete("/api-keys/{key_id}", summary="Revoke an API key")
def revoke_api_key(key_id: str, caller: WhoAsks, parts: ServiceParts) -> schemas.ApiKey:
    with parts.database.transaction() as session:
        revoked = keys.revoke_key(session, key_id)
        audit.record(session, caller, "key.revoke", key_id)
    parts.known_keys.forget()
    return revoked


@router.get("/audit", summary="What administrators did, newest first")
def list_audit(parts: ServiceParts, paging: Paged) -> schemas.Page[schemas.AuditEntry]:
    before = paging.after_position
    with parts.database.read() as session:
        found = audit.list_audit(session, None if before < 0 else before, paging.limit + 1)
    return paging.page([(str(entry.id), entry) for entry in found])


def _created(created: schemas.ApiKeyCreated) -> Created:
    return Created(created, 201, {"Location": f"/v1/api-keys/{created.id}"}, secret=SECRET)
