"""create_app(): the one place that joins settings, routes, problems, database and queue."""

from __future__ import annotations

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.concurrency import run_in_threadpool

from forgetcast.completion import MODEL_VERSION
from service.api import (
    caller,
    datasets,
    forecasts,
    gates,
    health,
    jobs,
    keys,
    matrices,
    operation,
    replay_sets,
    rows,
    streaming,
    tasks,
    upstream_sets,
)
from service.api.access import Access
from service.api.access_log import AccessLog
from service.api.compression import compressed
from service.api.dependencies import Parts
from service.api.head import Head
from service.api.known_keys import KnownKeys
from service.api.limits import Limits
from service.api.openapi import add_openapi
from service.api.places import Places
from service.api.problems import add_problem_handlers
from service.api.rates import Rates
from service.api.versions import VersionReader
from service.api.warm_reads import WarmReads
from service.metrics import VERSION
from service.operations.forecast_cache import ForecastCache
from service.operations.forecasts import warm
from service.operations.reaping import start_reaping
from service.queue import JobQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.versions import versions_statement

log = logging.getLogger(__name__)

LAST_TURN = 5.0  # seconds that reaping may take when the process ends

ROUTERS = (
    upstream_sets,
    matrices,
    rows,
    datasets,
    tasks,
    streaming,
    jobs,
    forecasts,
    replay_sets,
    gates,
    keys,
    caller,
    operation,
    health,
)


def create_app(settings: Settings, database: Database, queue: JobQueue, token: str | None = None) -> FastAPI:
    """The HTTP service over a migrated database; `token`: what a caller has to show while there are no API keys."""
    cache = ForecastCache(settings.cache_dir, settings.forecast_memory_bytes)
    versions = VersionReader(versions_statement(database, MODEL_VERSION))
    parts = Parts(settings, database, queue, KnownKeys(database, token), cache, versions)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(_warm, parts)
        ended = threading.Event()
        reaping = start_reaping(database, settings.lease, ended)
        yield
        ended.set()
        await run_in_threadpool(reaping.join, LAST_TURN)
        await versions.close()
        parts.known_keys.close()
        parts.watch.close()
        database.close()

    app = FastAPI(
        title="Forgetcast",
        version=VERSION,
        summary="Which upstream examples will a language model forget when it is fine-tuned on a new task?",
        lifespan=lifespan,
        generate_unique_id_function=_operation_id,
        openapi_url=None,  # openapi.py answers
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect is no problem document, and clients would repeat the body
    )
    app.state.parts = parts
    add_problem_handlers(app)
    add_openapi(app)
    for module in ROUTERS:
        app.include_router(module.router)
    # Rates are read here: what a layer raises when it is made comes after the start, and ends nothing.
    app.add_middleware(_layers, parts=parts, rates=Rates(settings))
    return app


def _layers(app: Any, parts: Parts, rates: Rates) -> AccessLog:
    """From the outside in: log line, limits, who asks, a place, HEAD, known questions, compression of the answer."""
    known = Head(WarmReads(compressed(app), parts))
    admitted = Access(Places(known, parts.settings), parts.known_keys, rates)
    return AccessLog(Limits(admitted, parts.settings))


def _warm(parts: Parts) -> None:
    """A replica takes requests once what they rest on is loaded; whatever is wrong with it the requests will say."""
    try:
        warm(parts.database, parts.cache)
    except Exception:
        log.warning("nothing could be loaded before the first request", exc_info=True)


def _operation_id(route: APIRoute) -> str:
    return route.name
