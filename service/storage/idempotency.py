"""Answers by the caller's Idempotency-Key, written in the transaction of what they answer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from forgetcast.errors import IdempotencyInFlight
from service.storage.database import now
from service.storage.locks import try_hold
from service.storage.tables import Idempotency

KEPT = timedelta(hours=24)


def take(session: Session, owner: str, key: str) -> Idempotency | None:
    """Hold a key until this transaction ends, and read the answer kept under it, if there is one.

    On SQLite a writing transaction is alone anyway, so a second request waits for the first one's answer. On Postgres
    it is told at once that the first is at work.

    Raises
    ------
    IdempotencyInFlight : another transaction holds the key
    """
    if not try_hold(session, ("idempotency key", owner, key)):
        raise IdempotencyInFlight(
            f"the request with the Idempotency-Key {key!r} is still at work; send it again in a moment",
            retry_after=1,
        )
    kept = session.get(Idempotency, (owner, key))
    if kept is None:
        return None
    is_kept = sa.select(Idempotency.created_at > now() - KEPT.total_seconds()).where(
        Idempotency.owner == owner, Idempotency.key == key
    )
    return kept if session.scalar(is_kept) else None


def keep(
    session: Session,
    owner: str,
    key: str,
    request_sha256: str,
    status: int,
    headers: dict[str, str],
    body: dict[str, Any] | None,
) -> None:
    """Keep an answer for 24 hours, and drop those that are older."""
    expired = sa.select(Idempotency.owner, Idempotency.key)
    expired = expired.where(Idempotency.created_at <= now() - KEPT.total_seconds())
    expired = expired.with_for_update(skip_locked=True)  # what another transaction drops need not be waited for
    is_expired = sa.tuple_(Idempotency.owner, Idempotency.key).in_(expired)
    own = sa.and_(Idempotency.owner == owner, Idempotency.key == key)
    session.execute(sa.delete(Idempotency).where(sa.or_(own, is_expired)))
    values = {"owner": owner, "key": key, "request_sha256": request_sha256}
    session.execute(sa.insert(Idempotency).values(**values, status=status, headers=headers, body=body))
