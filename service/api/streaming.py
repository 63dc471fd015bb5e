"""The async kinds of route: uploads, events and waiting. None holds a database connection while it waits."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from typing import Annotated, BinaryIO, TypeVar, cast

from fastapi import APIRouter, Depends, Header, Query, Request
from fastapi.responses import StreamingResponse
from starlette.concurrency import run_in_threadpool

from forgetcast import schemas
from forgetcast.errors import InvalidRequest
from service.api.dependencies import Parts, Reads, ServiceParts
from service.api.limits import admit
from service.api.pages import Paging, paging
from service.api.routes import Route
from service.api.watching import Seen
from service.operations import jobs
from service.storage.database import Session

router = APIRouter(route_class=Route, tags=["jobs"])
T = TypeVar("T")

IN_MEMORY = 1 << 20
BYTES_AN_EXAMPLE = 1 << 10  # of a row or of cells, whatever the form
PING_EVERY = 15.0
LONGEST_WAIT = 30
LOOK_ROUND = 5.0  # seconds after which who waits looks whether the caller is still there


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


@router.get("/v1/jobs/{job_id}", dependencies=[Reads], summary="Read a job, or wait for its end")
async def read_job(
    job_id: str,
    request: Request,
    parts: ServiceParts,
    wait: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait for the end")] = 0,
) -> schemas.Job:
    deadline = time.monotonic() + wait
    if wait:
        request.scope["place"].wait()
    while True:
        seen = await parts.watch.read(job_id)
        left = deadline - time.monotonic()
        if seen.job.terminal or left <= 0 or parts.draining.is_set() or await request.is_disconnected():
            return seen.job
        await parts.watch.change(job_id, seen.newest, request.scope["still_admitted"], min(left, LOOK_ROUND))


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
    paging: Annotated[Paging, Depends(paging(100))],
    after: Annotated[int, Query(ge=0, lt=2**63, description="only events after the one with this id")] = 0,
    accept: Annotated[str, Header(include_in_schema=False)] = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> schemas.Page[schemas.Event] | StreamingResponse:
    if "text/event-stream" in accept:
        if last_event_id is not None:
            if not last_event_id.isdecimal() or len(last_event_id) > 18:
                raise InvalidRequest("Last-Event-ID is the id of an event of this job")
            after = int(last_event_id)
        request.scope["place"].wait()
        first = await parts.watch.read(job_id, after)
        return StreamingResponse(
            _follow(request, parts, first, after),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
    events = await run_in_threadpool(_events, parts, job_id, max(after, paging.after_position), paging.limit + 1)
    return paging.page([(str(event.id), event) for event in events])


async def _follow(request: Request, parts: Parts, seen: Seen, after: int) -> AsyncIterator[str]:
    """Events as they come, a comment when there are none for long, and `done` after the last.

    A process that is to end breaks off without `done`: the reader goes on elsewhere, after the last id it has seen. So
    does a stream whose key was revoked.
    """
    still_admitted = request.scope["still_admitted"]
    while True:
        for event in seen.events:
            after = event.id
            yield f"id: {event.id}\nevent: {event.type}\ndata: {event.model_dump_json()}\n\n"
        # An ended job has no event after its last, which may have come after these were read.
        if seen.job.terminal and not seen.events:
            yield f"event: done\ndata: {json.dumps({'state': seen.job.state})}\n\n"
            return
        if not seen.events:
            while not await parts.watch.change(seen.job.id, after, still_admitted, PING_EVERY):
                yield ": still here\n\n"
        if parts.draining.is_set() or not await still_admitted():
            return
        seen = await parts.watch.read(seen.job.id, after)


def _events(parts: Parts, job_id: str, after: int, limit: int) -> list[schemas.Event]:
    with parts.database.read() as session:
        return jobs.list_events(session, job_id, after, limit)
