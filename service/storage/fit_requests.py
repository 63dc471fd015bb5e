"""Older matrix versions whose fits reads asked for: made by a worker, and kept while they are among the last asked."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.database import now
from service.storage.insert import insert_absent
from service.storage.locks import hold
from service.storage.tables import Fit, FitRequest

MOST_ASKED = 3  # versions of a matrix; each may be hundreds of MB of factors and a minute of a worker


def ask_for_fit(session: Session, matrix_id: str, matrix_version: int) -> None:
    """Ask for the fit and the back-test of one matrix version; the longest unasked one makes room for it."""
    hold(session, ("fit requests", matrix_id))
    insert_absent(session, FitRequest, matrix_id=matrix_id, matrix_version=matrix_version, asked_at=now())
    this = (FitRequest.matrix_id == matrix_id, FitRequest.matrix_version == matrix_version)
    session.execute(sa.update(FitRequest).where(*this).values(asked_at=now()))
    newest_first = sa.select(FitRequest).where(FitRequest.matrix_id == matrix_id, ~sa.and_(*this))
    newest_first = newest_first.order_by(FitRequest.asked_at.desc(), FitRequest.matrix_version.desc())
    for old in session.scalars(newest_first.offset(MOST_ASKED - 1)).all():
        session.delete(old)
    session.flush()


def is_asked_for() -> sa.ColumnElement[bool]:
    """Of a Fit: whether its matrix version is among those asked for."""
    same = (FitRequest.matrix_id == Fit.matrix_id, FitRequest.matrix_version == Fit.matrix_version)
    return sa.exists().where(*same)
