"""Matrices, their known rows by version, and the fits made of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session, aliased

from forgetcast.errors import MatrixNotFound
from service.storage.blobs import delete_blob, put_blob, sha256_of_file
from service.storage.database import now
from service.storage.fit_requests import is_asked_for
from service.storage.locks import hold, locked
from service.storage.tables import Fit, KnownRow, Matrix, Task

KEPT_FITS = 3  # matrix versions whose factors are kept, for `as_of`


def get_matrix(session: Session, matrix_id: str, *, lock: bool = False) -> Matrix:
    """The matrix with this id; `lock` holds it until the transaction ends. Raises MatrixNotFound."""
    found = locked(session, Matrix, matrix_id) if lock else session.get(Matrix, matrix_id)
    if found is None:
        raise MatrixNotFound(f"no matrix has the id {matrix_id!r}")
    return found


def list_matrices(session: Session, after: str, limit: int) -> Sequence[Matrix]:
    return session.scalars(sa.select(Matrix).where(Matrix.id > after).order_by(Matrix.id).limit(limit)).all()


def count_known(session: Session, matrix_id: str) -> int:
    current = sa.select(sa.func.count()).where(KnownRow.matrix_id == matrix_id, KnownRow.until.is_(None))
    return session.scalar(current) or 0


def known_rows(session: Session, matrix_id: str, version: int) -> Sequence[tuple[str, int, str | None]]:
    """(task id, row version, family) of every row that the matrix knew at this version, by task id."""
    rows = (
        sa.select(KnownRow.task_id, KnownRow.row_version, Task.family)
        .join(Task, Task.id == KnownRow.task_id)
        .where(*_known_at(matrix_id, version))
        .order_by(KnownRow.task_id)
    )
    return session.execute(rows).all()


def repeated_rows(session: Session, matrix_id: str, version: int) -> Sequence[tuple[str, int, str, int]]:
    """(task, row version, repeat, its row version) of known rows that another task measured once more."""
    repeat = aliased(Task)
    rows = (
        sa.select(KnownRow.task_id, KnownRow.row_version, repeat.id, repeat.row_version)
        .join(repeat, repeat.repeat_of == KnownRow.task_id)
        .where(*_known_at(matrix_id, version), repeat.matrix_id == matrix_id, repeat.row_version > 0)
        .order_by(repeat.id)
    )
    return session.execute(rows).all()


def supersede_row(session: Session, matrix: Matrix, task_id: str, row_version: int | None) -> None:
    """Make this the task's known row from the next matrix version on; None takes the row out of the matrix.

    The matrix must be locked by the caller.
    """
    matrix.version += 1
    matrix.changed_at = now()  # an SQL expression: by the database's clock
    session.execute(
        sa.update(KnownRow)
        .where(KnownRow.matrix_id == matrix.id, KnownRow.task_id == task_id, KnownRow.until.is_(None))
        .values(until=matrix.version)
    )
    if row_version is not None:
        session.add(KnownRow(matrix_id=matrix.id, task_id=task_id, since=matrix.version, row_version=row_version))
    session.flush()


def matrices_over(session: Session, set_id: str, model_revision: str) -> Sequence[Matrix]:
    """Matrices of this upstream set and base model that have had a known row."""
    same = (Matrix.upstream_set_id == set_id, Matrix.model_revision == model_revision, Matrix.version > 0)
    return session.scalars(sa.select(Matrix).where(*same).order_by(Matrix.id)).all()


def renew_matrix(session: Session, matrix_id: str) -> None:
    """A new version with the same rows, because something else has changed that its forecasts rest on."""
    newer = sa.update(Matrix).where(Matrix.id == matrix_id)
    session.execute(newer.values(version=Matrix.version + 1, changed_at=now()))


def newest_fit(session: Session, matrix_id: str, model_version: int, as_of: int | None) -> Fit | None:
    """The newest fit, or that of one matrix version, made by this version of the code."""
    fits = sa.select(Fit).where(Fit.matrix_id == matrix_id, Fit.model_version == model_version)
    if as_of is not None:
        fits = fits.where(Fit.matrix_version == as_of)
    return session.scalar(fits.order_by(Fit.matrix_version.desc()).limit(1))


def newest_fits(session: Session, model_version: int, limit: int) -> Sequence[tuple[Matrix, Fit]]:
    """The newest fit of every matrix that has one, those of the matrices that changed last first."""
    newest = sa.select(sa.func.max(Fit.matrix_version)).where(
        Fit.matrix_id == Matrix.id, Fit.model_version == model_version
    )
    same = sa.and_(
        Fit.matrix_id == Matrix.id,
        Fit.model_version == model_version,
        Fit.matrix_version == newest.correlate(Matrix).scalar_subquery(),
    )
    found = sa.select(Matrix, Fit).join(Fit, same).order_by(Matrix.changed_at.desc()).limit(limit)
    return [(matrix, fit) for matrix, fit in session.execute(found)]


def put_fit(
    session: Session,
    matrix_id: str,
    matrix_version: int,
    model_version: int,
    packed: BinaryIO,
    unmeasurable: NDArray[np.intp] | None = None,
) -> None:
    """Keep a fit, packed as npz, unless there is one; drop those older than the last few that nobody asked for."""
    hold(session, ("fits", matrix_id))
    if session.get(Fit, (matrix_id, matrix_version, model_version)) is not None:
        return
    newest_first = sa.select(Fit).where(Fit.matrix_id == matrix_id, ~is_asked_for())
    newest_first = newest_first.order_by(Fit.matrix_version.desc())
    fit = Fit(matrix_id=matrix_id, matrix_version=matrix_version, model_version=model_version)
    fit.arrays_sha256 = sha256_of_file(packed)
    fit.unmeasurable = None if unmeasurable is None else unmeasurable.astype("<i4").tobytes()
    packed.seek(0)
    older = {one.arrays_sha256 for one in session.scalars(newest_first)}
    # The same rows once more are the same bytes, also of another matrix: nobody drops what we are about to need.
    hold(session, *[("blob", sha256) for sha256 in {fit.arrays_sha256, *older}])
    put_blob(session, packed)
    session.add(fit)
    session.flush()
    for old in session.scalars(newest_first.offset(KEPT_FITS)).all():
        session.delete(old)
        session.flush()
        if session.scalar(sa.select(Fit.matrix_id).where(Fit.arrays_sha256 == old.arrays_sha256).limit(1)) is None:
            delete_blob(session, old.arrays_sha256)


def put_backtest(
    session: Session,
    matrix_id: str,
    matrix_version: int,
    model_version: int,
    quality: dict[str, Any] | None,
    report: dict[str, Any] | None,
    analysis: dict[str, Any],
    drawn_errors: dict[str, Any],
) -> None:
    """Keep the back-test of a fit, its analysis, and how drawn rows err, if the fit is still kept; `quality` and the
    report are None when there were too few rows."""
    fit = session.get(Fit, (matrix_id, matrix_version, model_version))
    if fit is not None:
        fit.tested, fit.quality, fit.backtest, fit.analysis = True, quality, report, analysis
        fit.drawn_errors = drawn_errors
        session.flush()


def _known_at(matrix_id: str, version: int) -> tuple[sa.ColumnElement[bool], ...]:
    is_current = sa.or_(KnownRow.until.is_(None), KnownRow.until > version)
    return KnownRow.matrix_id == matrix_id, KnownRow.since <= version, is_current
