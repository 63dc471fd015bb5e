"""What administrators did, in order; only ever added to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.tables import Audit


def append_audit(session: Session, actor: str | None, action: str, target: str, detail: dict[str, Any]) -> None:
    """Add one row, in the transaction of what it tells of."""
    session.execute(sa.insert(Audit).values(actor=actor, action=action, target=target, detail=detail))


def list_audit(session: Session, before: int | None, limit: int) -> Sequence[Audit]:
    """Up to `limit` rows older than the one with the id `before`, newest first."""
    rows = sa.select(Audit).order_by(Audit.id.desc()).limit(limit)
    if before is not None:
        rows = rows.where(Audit.id < before)
    return session.scalars(rows).all()
