"""Answers that are a function of versions: 304 to whoever has them, bytes from memory to whoever asks again.

A read that is warm costs one shared statement for the versions and no thread of its own; only what must be computed
goes to a thread, and only so many threads compute at a time.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Annotated

import anyio
from anyio.to_thread import run_sync
from fastapi import Header, Request, Response

from service.api.compression import matches
from service.api.dependencies import Parts
from service.api.questions import Asked, Question
from service.operations import forecasts
from service.operations.fits import reading_fits
from service.operations.forecast_cache import Completed, etag
from service.storage.database import Session

IfNoneMatch = Annotated[str | None, Header()]
COMPUTING = anyio.CapacityLimiter(max(4, os.cpu_count() or 1))  # each holds a row's arrays and a database connection


async def answer(
    request: Request,
    parts: Parts,
    question: Question,
    if_none_match: str | None,
    body: Callable[[Session, Completed], bytes],
) -> Response:
    """The body, made at most once for a question and its versions, or 304 when the caller has it already."""
    if not question.holds:
        return await _as_of_now(parts, question, body)
    found = await from_memory(parts, question, if_none_match)
    if found is not None:
        parts.questions.remember(request.scope, question)
        return found

    def make() -> tuple[bytes | None, str]:
        with reading_fits(parts.database) as session:
            completed = _complete(session, parts, question.asked)
            known = matches(completed.etag, if_none_match)
            if known is not None:
                return None, known
            return body(session, completed), completed.etag

    made, tag = await run_sync(make, limiter=COMPUTING)
    if question.asked.as_of is None:
        parts.questions.remember(request.scope, question)
    if made is None:
        return unchanged(tag)
    parts.cache.keep_answer((question, tag), made)
    return _response(made, tag, question.media_type)


async def _as_of_now(parts: Parts, question: Question, body: Callable[[Session, Completed], bytes]) -> Response:
    """An answer that is neither kept nor known again."""

    def make() -> bytes:
        with reading_fits(parts.database) as session:
            return body(session, _complete(session, parts, question.asked))

    made = await run_sync(make, limiter=COMPUTING)
    return Response(made, media_type=question.media_type, headers={"Cache-Control": "private, no-store"})


async def from_memory(parts: Parts, question: Question, if_none_match: str | None) -> Response | None:
    """The answer as of now if it is in memory, or 304; None when it must be computed, also to learn what is wrong."""
    tag = await _current(parts, question.asked)
    if tag is None:
        return None
    known = matches(tag, if_none_match)
    if known is not None:
        return unchanged(known)
    found = parts.cache.answer((question, tag))
    return None if found is None else _response(found, tag, question.media_type)


async def completed(parts: Parts, asked: Asked, if_none_match: str | None) -> Completed | Response:
    """The completed row, for an answer too large to be kept, or 304."""
    tag = await _current(parts, asked)
    known = None if tag is None else matches(tag, if_none_match)
    if known is not None:
        return unchanged(known)

    def make() -> Completed:
        with reading_fits(parts.database) as session:
            return _complete(session, parts, asked)

    found = await run_sync(make, limiter=COMPUTING)
    known = matches(found.etag, if_none_match)
    return found if known is None else unchanged(known)


def unchanged(tag: str) -> Response:
    return Response(status_code=304, headers=validators(tag))


def validators(tag: str) -> dict[str, str]:
    """Headers that let a caller ask whether the answer still holds, and nobody else keep it."""
    return {"ETag": tag, "Cache-Control": "private, no-cache"}


async def _current(parts: Parts, asked: Asked) -> str | None:
    """The ETag of the answer as of now; None when only the full way can tell, also what is wrong."""
    if asked.as_of is not None:
        return None
    versions = await parts.versions.of(asked.task_id)
    if versions is None or versions.fitted_version is None or not (versions.row_version or asked.allow_unmeasured):
        return None
    return etag(versions.fitted_version, versions.row_version, versions.tested)


def _complete(session: Session, parts: Parts, asked: Asked) -> Completed:
    return forecasts.complete(
        session,
        parts.cache,
        asked.task_id,
        level=asked.level,
        as_of=asked.as_of,
        allow_unmeasured=asked.allow_unmeasured,
    )


def _response(body: bytes, tag: str, media_type: str) -> Response:
    return Response(body, media_type=media_type, headers=validators(tag))
