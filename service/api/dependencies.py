"""What a route may ask for: the service's parts, and a caller with the right scope."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import Depends, Request

from forgetcast.errors import Forbidden
from forgetcast.schemas import Scope
from service.api.known_keys import KnownKeys
from service.api.questions import KnownQuestions
from service.api.versions import VersionReader
from service.api.watching import JobWatch
from service.models import Models
from service.operations.forecast_cache import ForecastCache
from service.operations.keys import Caller
from service.operations.probe_sets import ProbeSets
from service.queue import JobQueue
from service.settings import Settings
from service.storage.database import Database


@dataclass
class Parts:
    """Everything a route works with, joined in create_app."""

    settings: Settings
    database: Database
    queue: JobQueue
    known_keys: KnownKeys
    cache: ForecastCache
    versions: VersionReader
    questions: KnownQuestions = field(default_factory=KnownQuestions)
    probe_sets: ProbeSets = field(init=False)
    watch: JobWatch = field(init=False)
    draining: threading.Event = field(default_factory=threading.Event)  # set when this process is to end

    def __post_init__(self) -> None:
        self.probe_sets = ProbeSets(self.cache)
        self.watch = JobWatch(self.database, self.known_keys, self.draining)

    def models(self) -> Models:
        """Read anew each time: an operator adds a model without a restart."""
        return Models.read(self.settings.models_file)


async def parts(request: Request) -> Parts:  # async: a `def` would wait for a free thread, also under /readyz
    found: Parts = request.app.state.parts
    return found


async def caller_of(request: Request) -> Caller:
    """Who asks, as the layer in access.py found out."""
    found: Caller = request.scope["caller"]
    return found


ServiceParts = Annotated[Parts, Depends(parts)]
WhoAsks = Annotated[Caller, Depends(caller_of)]


class Requires:
    """A dependency that lets a caller pass who holds this scope."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope

    async def __call__(self, caller: WhoAsks) -> None:
        if not caller.may(self.scope):
            raise Forbidden(f"the API key lacks the scope {self.scope.value!r}")


Reads = Depends(Requires(Scope.READ))
Submits = Depends(Requires(Scope.SUBMIT))
Measures = Depends(Requires(Scope.MEASURE))
Administers = Depends(Requires(Scope.ADMIN))
