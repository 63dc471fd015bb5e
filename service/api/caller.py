"""Who asks: what a client can find out about its own key."""

from __future__ import annotations

from fastapi import APIRouter

from forgetcast import schemas
from service.api.dependencies import Reads, ServiceParts, WhoAsks
from service.api.routes import Route
from service.operations import keys

router = APIRouter(route_class=Route, prefix="/v1", tags=["keys"])


@router.get("/caller", dependencies=[Reads], summary="Your own API key and what it may do")
def read_caller(caller: WhoAsks, parts: ServiceParts) -> schemas.Caller:
    key = None
    if caller.key_id is not None:
        with parts.database.read() as session:
            key = keys.read_key(session, caller.key_id)
    return schemas.Caller(key=key, scopes=sorted(caller.scopes))
