"""Creating requests happen once: what was answered under an Idempotency-Key is answered again, and not done again."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, Header, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from forgetcast.errors import FieldError, IdempotencyConflict, InvalidRequest, WriteConflict
from service.api.dependencies import Parts, ServiceParts
from service.storage import idempotency
from service.storage.database import Session
from service.storage.tables import Idempotency

FORM = re.compile(r"[\x21-\x7e]{1,255}")
REPLAYED = {"Idempotency-Replayed": "true"}
TRIES = 3  # of a transaction that met another one writing the same


@dataclass(frozen=True)
class Created:
    """The answer to a creating request, and the job to announce once it is committed."""

    body: BaseModel
    status: int
    headers: dict[str, str] = field(default_factory=dict)
    job: tuple[str, str] | None = None  # id and hardware
    secret: frozenset[str] = frozenset()  # fields of the body that a replay shows as null


@dataclass(frozen=True)
class Once:
    """One creating request with its Idempotency-Key, if it has one."""

    parts: Parts
    owner: str
    key: str | None
    request_sha256: str

    def answer(self, create: Callable[[Session], Created]) -> Response:
        """Run `create` in a transaction that also keeps its answer, or give the answer kept before.

        Raises
        ------
        IdempotencyConflict : the key was used with another request
        IdempotencyInFlight : a request with this key is at work
        """
        for further in reversed(range(TRIES)):
            try:
                return self._answer(create)
            except WriteConflict:
                if not further:
                    raise
        raise AssertionError("the last try returns or raises")

    def is_replay(self, session: Session) -> bool:
        """For an answer that is computed, not kept: whether this was done before; marks it as done otherwise."""
        if self.key is None:
            return False
        if self._kept(session) is not None:
            return True
        idempotency.keep(session, self.owner, self.key, self.request_sha256, 200, {}, None)
        return False

    def _answer(self, create: Callable[[Session], Created]) -> Response:
        with self.parts.database.transaction() as session:
            kept = self._kept(session)
            if kept is not None:
                return _json(kept.body, kept.status, kept.headers | REPLAYED)
            created = create(session)
            body = created.body.model_dump(mode="json")
            if self.key is not None:
                shown = body | dict.fromkeys(created.secret)
                arguments = (self.request_sha256, created.status, created.headers, shown)
                idempotency.keep(session, self.owner, self.key, *arguments)
        if created.job is not None:
            # After the commit: what is in the queue may be lost or doubled, the job row may not.
            self.parts.queue.send(*created.job)
        return _json(body, created.status, created.headers)

    def _kept(self, session: Session) -> Idempotency | None:
        if self.key is None:
            return None
        kept = idempotency.take(session, self.owner, self.key)
        if kept is not None and kept.request_sha256 != self.request_sha256:
            raise IdempotencyConflict(
                f"the Idempotency-Key {self.key!r} was used for another request; choose a new one"
            )
        return kept


@dataclass(frozen=True)
class Unread:
    """A creating request whose body is still to be read."""

    parts: Parts
    owner: str
    key: str | None
    about: bytes  # method and URL

    def read(self, pieces: Iterable[bytes]) -> Once:
        """The request with this body."""
        digest = hashlib.sha256(self.about)
        for piece in pieces:
            digest.update(piece)
        return Once(self.parts, self.owner, self.key, digest.hexdigest())


async def unread(
    request: Request,
    parts: ServiceParts,
    idempotency_key: Annotated[
        str | None, Header(description="the same key again: the first answer again, for 24 hours", max_length=255)
    ] = None,
) -> Unread:
    if idempotency_key is not None and not FORM.fullmatch(idempotency_key):
        detail = "1 to 255 visible ASCII characters"
        raise InvalidRequest(f"Idempotency-Key: {detail}", errors=(FieldError("Idempotency-Key", detail),))
    about = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return Unread(parts, request.scope["caller"].key_id or "", idempotency_key, about)


OnceRead = Annotated[Unread, Depends(unread)]


async def once(request: Request, unread: OnceRead) -> Once:
    return unread.read([await request.body()])


OncePerKey = Annotated[Once, Depends(once)]


def _json(body: Any, status: int, headers: dict[str, str]) -> Response:
    return JSONResponse(body, status, headers)
