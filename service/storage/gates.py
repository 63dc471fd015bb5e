"""Verdicts of the gate, looks, and which tasks were released."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from forgetcast.errors import GateNotFound
from service.storage.database import insert
from service.storage.ids import new_id
from service.storage.tables import Gate, Release


def look_of(session: Session, task_id: str, row_version: int) -> int:
    """The how-manieth look a verdict on this row version is: of a version that has been seen, the look that it was."""
    seen = sa.select(Gate.row_version).where(Gate.task_id == task_id, Gate.finished.is_(False)).distinct()
    versions = set(session.scalars(seen))
    return len({version for version in versions if version < row_version}) + 1


def add_gate(
    session: Session, task_id: str, row_version: int, look: int, *, finished: bool, document: dict[str, Any]
) -> Gate:
    found = Gate(
        id=new_id("gate"),
        task_id=task_id,
        row_version=row_version,
        look=look,
        finished=finished,
        document=document,
    )
    return insert(session, found)


def find_gate(session: Session, gate_id: str) -> Gate | None:
    return session.get(Gate, gate_id)


def get_gate(session: Session, gate_id: str) -> Gate:
    """The verdict with this id. Raises GateNotFound."""
    found = find_gate(session, gate_id)
    if found is None:
        raise GateNotFound(f"no verdict has the id {gate_id!r}")
    return found


def list_gates(session: Session, task_id: str | None, after: str, limit: int) -> Sequence[Gate]:
    """Up to `limit` verdicts beyond the id `after`, oldest first."""
    found = sa.select(Gate).where(Gate.id > after).order_by(Gate.id).limit(limit)
    if task_id is not None:
        found = found.where(Gate.task_id == task_id)
    return session.scalars(found).all()


def add_release(session: Session, task_id: str, matrix_id: str, weights_sha256: str, gate_id: str | None) -> Release:
    found = Release(
        id=new_id("release"),
        task_id=task_id,
        matrix_id=matrix_id,
        weights_sha256=weights_sha256,
        gate_id=gate_id,
    )
    return insert(session, found)


def newest_release(session: Session, matrix_id: str, *, other_than: str) -> Release | None:
    """The last released task of a matrix but for this one."""
    found = sa.select(Release).where(Release.matrix_id == matrix_id, Release.task_id != other_than)
    return session.scalar(found.order_by(Release.id.desc()).limit(1))


def release_of(session: Session, task_id: str) -> Release | None:
    """The last release of a task."""
    return session.scalar(sa.select(Release).where(Release.task_id == task_id).order_by(Release.id.desc()).limit(1))
