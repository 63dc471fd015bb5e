"""Who asks: what a client can find out about its own key."""

from __future__ import annotations

from fastapi import APIRouter

from forgetcast import schemas
from forgetcast.errors import Unauthenticated
from service.api.dependencies import Reads, ServiceParts, WhoAsks
from service.api.routes import Route
from service.operations import keys

router = APIRouter(route_class=Route, prefix="/v1", tags=["keys"])


@router.get("/caller", dependencies=[Reads], summary="Your own API key and what it may do")
def read_caller(caller: WhoAsks, parts: ServiceParts) -> schemas.Caller:
    with parts.database.read() as session:
        if caller.key_id is None and keys.has_keys(session):  # made a moment ago: what is remembered is out of date
            parts.known_keys.forget()
            raise Unauthenticated
        key = None if caller.key_id is None else keys.read_key(session, caller.key_id)
    return schemas.Caller(key=key, scopes=sorted(caller.scopes))
