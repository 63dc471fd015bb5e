"""The async kinds of route: uploads, events and waiting. None holds a database connection while it waits."""

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, BinaryIO, TypeVar, cast

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from forgetcast import schemas
from forgetcast.errors import InvalidRequest
from service.api.dependencies import Parts, Reads, ServiceParts
from service.api.limits import admit
from service.api.pages import after_position, page
from service.api.routes import Route
from service.operations import jobs
from service.storage.database import Session
from service.storage.events import newest_event

router = APIRouter(route_class=Route, tags=["jobs"])
T = TypeVar("T")

IN_MEMORY = 1 << 20
BYTES_AN_EXAMPLE = 1 << 10  # of a row or of cells, whatever the form
PING_EVERY = 15.0
POLL_EVERY = 0.25
LONGEST_WAIT = 30


async def bounded_by(request: Request, parts: Parts, n_examples: Callable[[Session], int]) -> int:
    """Let the body be as large as so many examples may need, and say how many they are."""

    def count() -> int:
        with parts.database.read() as session:
            return n_examples(session)

    found = await run_in_threadpool(count)
    admit(request.scope, parts.settings.max_body_bytes + BYTES_AN_EXAMPLE * found)
    return found


async def spooled(request: Request, operation: Callable[[BinaryIO], T]) -> T:
    """Spool a body to a temporary file as it arrives, then run one operation on it in a thread."""
    with tempfile.SpooledTemporaryFile(IN_MEMORY) as file:
        async for chunk in request.stream():
            file.write(chunk)
        file.seek(0)
        return await run_in_threadpool(operation, cast(BinaryIO, file))


class Watch:
    """One poller a process: looks for new events while anybody waits, and wakes all who do."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._changed = asyncio.Event()
        self._n_waiting = 0
        self._poller: asyncio.Task[None] | None = None

    async def next_change(self, timeout: float) -> None:
        """Return when some job has a new event, or at the time-out."""
        self._n_waiting += 1
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        changed = self._changed
        try:
            await asyncio.wait_for(changed.wait(), timeout)
        except TimeoutError:
            pass
        finally:
            self._n_waiting -= 1

    async def _poll(self) -> None:
        newest = await run_in_threadpool(self._newest)
        while self._n_waiting:
            await asyncio.sleep(POLL_EVERY)
            found = await run_in_threadpool(self._newest)
            if found != newest:
                newest = found
                changed, self._changed = self._changed, asyncio.Event()
                changed.set()

    def _newest(self) -> int:
        with self._parts.database.read() as session:
            return newest_event(session)


def _watch(request: Request, parts: Parts) -> Watch:
    if not hasattr(request.app.state, "watch"):
        request.app.state.watch = Watch(parts)
    watch: Watch = request.app.state.watch
    return watch


@router.get("/v1/jobs/{job_id}", dependencies=[Reads], summary="Read a job, or wait for its end")
async def read_job(
    job_id: str,
    request: Request,
    parts: ServiceParts,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for the end")] = 0,
) -> schemas.Job:
    deadline = time.monotonic() + wait
    while True:
        job = await run_in_threadpool(_job, parts, job_id)
        left = deadline - time.monotonic()
        if job.terminal or left <= 0 or parts.draining.is_set() or await request.is_disconnected():
            return job
        request.scope["place"].wait()
        # A state may change between the read and the wait; a second bounds what that can cost.
        await _watch(request, parts).next_change(min(left, 1.0))


@router.get(
    "/v1/jobs/{job_id}/events",
    dependencies=[Reads],
    summary="List a job's events, or follow them as server-sent events",
    response_model=schemas.Page[schemas.Event],
)
async def list_events(
    job_id: str,
    request: Request,
    parts: ServiceParts,
    after: Annotated[int, Query(ge=0, lt=2**63, description="only events after the one with this id")] = 0,
    limit: Annotated[int, Query(ge=1, le=1000)] = 100,
    cursor: str | None = None,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> schemas.Page[schemas.Event] | StreamingResponse:
    if "text/event-stream" in accept:
        if last_event_id is not None:
            if not last_event_id.isdecimal() or len(last_event_id) > 18:
                raise InvalidRequest("Last-Event-ID is the id of an event of this job")
            after = int(last_event_id)
        await run_in_threadpool(_job, parts, job_id)
        request.scope["place"].wait()
        return StreamingResponse(
            _follow(request, parts, job_id, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
    events = await run_in_threadpool(_events, parts, job_id, max(after, after_position(cursor)), limit + 1)
    return page([(str(event.id), event) for event in events], limit)


async def _follow(request: Request, parts: Parts, job_id: str, after: int) -> AsyncIterator[str]:
    """Events as they come, a comment when there are none for long, and `done` after the last.

    A process that is to end breaks off without `done`: the reader goes on elsewhere, after the last id it has seen. So
    does a stream whose key was revoked.
    """
    quiet_since = time.monotonic()
    while not await request.is_disconnected():
        # The job first: if it has ended, its last event is among those read next.
        job = await run_in_threadpool(_job, parts, job_id)
        events = await run_in_threadpool(_events, parts, job_id, after, 1000)
        for event in events:
            after = event.id
            yield f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
        if job.terminal and not events:
            yield f"event: done\ndata: {json.dumps({'state': job.state})}\n\n"
            return
        if parts.draining.is_set() or not await request.scope["still_admitted"]():
            return
        if events:
            quiet_since = time.monotonic()
            continue
        if time.monotonic() - quiet_since > PING_EVERY:
            quiet_since = time.monotonic()
            yield ": still here\n\n"
        await _watch(request, parts).next_change(1.0)


def _job(parts: Parts, job_id: str) -> schemas.Job:
    with parts.database.read() as session:
        return jobs.read_job(session, job_id)


def _events(parts: Parts, job_id: str, after: int, limit: int) -> list[schemas.Event]:
    with parts.database.read() as session:
        return jobs.list_events(session, job_id, after, limit)
