"""Read the fit that a forecast rests on, its back-test and its analysis; say what is missing, or why there is none."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION
from forgetcast.errors import FitFailed, FitPending, MatrixEmpty, OutOfRange, TooFewRows
from service.operations.backtests import FEWEST_CELLS, FEWEST_ROWS
from service.operations.job_errors import hint_for_fit
from service.storage import matrices as storage
from service.storage.database import Database, Session, moment
from service.storage.fit_requests import ask_for_fit
from service.storage.fit_work import FitFailure, Kind, count_failed, failure
from service.storage.tables import Fit, Matrix


@contextmanager
def reading_fits(database: Database) -> Iterator[Session]:
    """A session to read with; an older version that it finds unfitted is asked for, so that the next read finds it."""
    try:
        with database.read() as session:
            yield session
    except (FitPending, FitFailed) as absent:
        if absent.older_version is not None:
            with database.transaction() as session:
                ask_for_fit(session, *absent.older_version)
        raise


def read_fit(session: Session, matrix: Matrix, as_of: int | None) -> Fit:
    """The newest fit of a matrix, or that of the version `as_of`.

    Raises
    ------
    MatrixEmpty : there is no known row to learn from, or there was none
    OutOfRange : the matrix has no such version
    FitPending : a worker has not fitted it yet
    FitFailed : it cannot be fitted, and is tried again later
    """
    if as_of is not None and as_of > matrix.version:
        raise OutOfRange(f"as_of is {as_of}, and the matrix {matrix.id!r} has version {matrix.version}")
    found = storage.newest_fit(session, matrix.id, MODEL_VERSION, as_of)
    if found is not None:
        return found
    version = matrix.version if as_of is None else as_of
    if not storage.known_rows(session, matrix.id, version):
        what = "has no known row; import rows or measure tasks in full first"
        raise MatrixEmpty(
            f"the matrix {matrix.id!r} {what if as_of is None else f'had no known row at version {as_of}'}"
        )
    _check_failure(session, matrix, version)
    wanted = f"version {as_of}" if as_of is not None else "any version"
    raise _pending(matrix, as_of, f"has no fit of {wanted} yet; a worker makes it between jobs", 2)


def read_backtest(session: Session, matrix_id: str, as_of: int | None) -> dict[str, Any]:
    """The back-test made with the newest fit, or with that of the version `as_of`.

    Raises
    ------
    MatrixNotFound, MatrixEmpty, FitPending, FitFailed
    TooFewRows : the matrix has too few rows to leave one out
    """
    found = _read_tested(session, matrix_id, as_of)
    if found.backtest is None:
        raise TooFewRows(
            f"a back-test needs {FEWEST_ROWS} known rows, and one of {FEWEST_CELLS} measured cells or more to forecast"
        )
    return {"matrix": matrix_id, "matrix_version": found.matrix_version, **found.backtest}


def read_analysis(session: Session, matrix_id: str, as_of: int | None) -> dict[str, Any]:
    """What the known rows look like, as analysed with the newest fit, or with that of the version `as_of`.

    Raises
    ------
    MatrixNotFound, MatrixEmpty, FitPending, FitFailed
    """
    found = _read_tested(session, matrix_id, as_of)
    assert found.analysis is not None
    return {"matrix": matrix_id, "matrix_version": found.matrix_version, **found.analysis}


def _read_tested(session: Session, matrix_id: str, as_of: int | None) -> Fit:
    matrix = storage.get_matrix(session, matrix_id)
    found = read_fit(session, matrix, as_of)
    if not found.tested:
        _check_failure(session, matrix, found.matrix_version)
        raise _pending(matrix, as_of, "is not back-tested and analysed yet; a worker does it between jobs", 5)
    return found


def _pending(matrix: Matrix, as_of: int | None, what: str, retry_after: float) -> FitPending:
    pending = FitPending(f"the matrix {matrix.id!r} {what}", retry_after=retry_after)
    if as_of is not None and as_of < matrix.version:
        pending.older_version = matrix.id, as_of
    return pending


def read_failure(session: Session, matrix_id: str, matrix_version: int) -> schemas.FitError | None:
    """How the fit of a matrix version failed, or else its back-test, while it has."""
    found = failure(session, matrix_id, matrix_version, MODEL_VERSION)
    if found is None:
        return None
    return schemas.FitError(
        matrix_version=matrix_version,
        what=found.kind.value,
        code=found.code,
        detail=found.detail,
        hint=hint_for_fit(found.code),
        n_failed=found.n_failed,
        again_at=moment(found.again_at),
    )


def count_failures(session: Session) -> int:
    """How many fits and back-tests have failed that are still wanted."""
    return count_failed(session, MODEL_VERSION)


def _check_failure(session: Session, matrix: Matrix, version: int) -> None:
    """Raises FitFailed when the work that is missing was tried and has failed."""
    found = failure(session, matrix.id, version, MODEL_VERSION)
    if found is None:
        return
    error = FitFailed(_failed(matrix, found))
    error.older_version = (matrix.id, version) if version < matrix.version else None
    raise error


def _failed(matrix: Matrix, found: FitFailure) -> str:
    what = "fitted" if found.kind is Kind.FIT else "back-tested"
    return (
        f"version {found.matrix_version} of the matrix {matrix.id!r} cannot be {what}: {found.detail} ({found.code}); "
        f"{hint_for_fit(found.code)}. It is tried again after {moment(found.again_at):%Y-%m-%d %H:%M} UTC"
    )
