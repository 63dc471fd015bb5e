"""What a route may ask for: the service's parts, and a caller with the right scope."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Header, Request

from forgetcast.errors import Forbidden, Unauthenticated
from forgetcast.schemas import Scope
from service.api.access_log import KEY_ID
from service.models import Models
from service.operations.forecasts import ForecastCache
from service.operations.keys import authenticate, has_keys
from service.queue import JobQueue
from service.settings import Settings
from service.storage.database import Database

KEYS_CHECKED_EVERY = 5.0  # seconds within which a first key closes an open loopback service


@dataclass
class Parts:
    """Everything a route works with, joined in create_app."""

    settings: Settings
    database: Database
    queue: JobQueue
    cache: ForecastCache = field(default_factory=ForecastCache)
    draining: threading.Event = field(default_factory=threading.Event)  # set when this process is to end
    _open_until: float = 0.0

    def models(self) -> Models:
        """Read anew each time: an operator adds a model without a restart."""
        return Models.read(self.settings.models_file)

    def is_open(self) -> bool:
        """Whether requests need no key: only while no key was ever made, and then only loopback is bound."""
        if time.monotonic() < self._open_until:
            return True
        with self.database.read() as session:
            is_open = not has_keys(session)
        self._open_until = time.monotonic() + KEYS_CHECKED_EVERY if is_open else 0.0
        return is_open


async def parts(request: Request) -> Parts:  # async: a `def` would wait for a free thread, also under /readyz
    found: Parts = request.app.state.parts
    return found


ServiceParts = Annotated[Parts, Depends(parts)]


def require(scope: Scope) -> Callable[..., None]:
    """A dependency that lets a caller pass who holds this scope; `admin` holds all."""

    def check(
        request: Request,
        service: ServiceParts,
        authorization: Annotated[str | None, Header(include_in_schema=False)] = None,
    ) -> None:
        if service.is_open():
            return
        kind, _, key = (authorization or "").partition(" ")
        if kind.lower() != "bearer":
            raise Unauthenticated
        with service.database.read() as session:
            request.scope[KEY_ID], scopes = authenticate(session, key.strip())
        if scope not in scopes and Scope.ADMIN not in scopes:
            raise Forbidden(f"the API key lacks the scope {scope.value!r}")

    return check


Reads = Depends(require(Scope.READ))
Submits = Depends(require(Scope.SUBMIT))
Measures = Depends(require(Scope.MEASURE))
Administers = Depends(require(Scope.ADMIN))
