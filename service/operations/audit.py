"""What administrators did: recorded with the deed, read newest first."""

from __future__ import annotations

from typing import Any

from forgetcast import schemas
from service.operations.keys import Caller
from service.storage import audit as storage
from service.storage.database import Session, moment


def record(session: Session, caller: Caller, action: str, target: str, **detail: Any) -> None:
    """Note in this transaction what the caller did to which thing; never a secret."""
    storage.append_audit(session, caller.name, action, target, detail)


def list_audit(session: Session, before: int | None, limit: int) -> list[schemas.AuditEntry]:
    return [
        schemas.AuditEntry(
            id=row.id,
            actor=row.actor,
            action=row.action,
            target=row.target,
            detail=row.detail,
            created_at=moment(row.created_at),
        )
        for row in storage.list_audit(session, before, limit)
    ]
