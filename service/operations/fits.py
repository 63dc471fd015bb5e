"""Fit each new matrix version between jobs; read the fit that a forecast rests on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import numpy as np

from forgetcast.completion import (
    DEFAULT_METHOD,
    MODEL_VERSION,
    FittedMethod,
    ForgettingMatrix,
    Repeat,
    analyse,
    backtest,
    fit,
)
from forgetcast.completion.methods.refit_per_task import REFIT_PER_TASK
from forgetcast.completion.methods.registry import BASELINES
from forgetcast.errors import FitPending, MatrixEmpty, OutOfRange, TooFewRows
from service import metrics
from service.operations.belief import believable
from service.operations.fit_files import in_memory
from service.operations.known import read_known
from service.storage import matrices as storage
from service.storage import tasks as task_storage
from service.storage.database import Database, Session
from service.storage.fit_requests import ask_for_fit, asked_and_unfitted, asked_and_untested
from service.storage.tables import Fit, Matrix

QUIET = timedelta(seconds=1)  # after a change of the rows: many rows that are imported one by one are fitted once
PROBES = 30  # of the paper's protocol, and the default size of a probe
BACKTEST_DRAWS = 2
FEWEST_ROWS_FOR_BACKTEST = 3
MOST_CELLS_REFITTED = 1_000_000  # known cells; methods that are fitted anew for every forecast take too long beyond
MOST_ROWS_LEFT_OUT = 10  # each is a fit of its own; `forgetcast backtest` leaves out every row


def fit_due_matrices(database: Database) -> bool:
    """Do the next piece of work that is due: a fit, which reads wait for, before a back-test, which they do not."""
    return fit_due_matrix(database, QUIET) or fit_asked_version(database) or backtest_due_matrix(database)


def fit_due_matrix(database: Database, quiet: timedelta = timedelta(0)) -> bool:
    """Fit the newest version of one matrix that has no fit yet and has not changed for a while; False when none is due.

    Superseded versions are skipped. Two workers may fit the same version; the first to commit is kept.
    """
    with database.read() as session:
        due = storage.unfitted_matrix(session, MODEL_VERSION, quiet)
    return _fit(database, due)


def fit_asked_version(database: Database) -> bool:
    """Fit an older matrix version that a read asked for; False when none is due."""
    with database.read() as session:
        due = asked_and_unfitted(session, MODEL_VERSION)
    return _fit(database, due)


def _fit(database: Database, due: tuple[str, int] | None) -> bool:
    if due is None:
        return False
    with database.read() as session:
        known = read_known(session, *due)
        newest = storage.newest_fit(session, due[0], MODEL_VERSION, None)
        earlier = None if newest is None else FittedMethod.from_arrays(in_memory(session, newest.arrays_sha256))
    with metrics.FIT_SECONDS.time():
        arrays = fit(known, earlier=earlier).to_arrays()
    with database.transaction() as session:
        storage.put_fit(session, *due, MODEL_VERSION, arrays)
    return True


def backtest_due_matrix(database: Database) -> bool:
    """Back-test and analyse a matrix version that is fitted and not tested: the newest of one, or one asked for."""
    with database.read() as session:
        due = storage.untested_matrix(session, MODEL_VERSION) or asked_and_untested(session, MODEL_VERSION)
        if due is None:
            return False
        known, repeats = read_known(session, *due), _read_repeats(session, *due)
    with metrics.BACKTEST_SECONDS.time():
        report = _backtest(known)
        analysis = analyse(known, repeats)
    quality = None if report is None else _quality(report, due[1], known.n_tasks)
    with database.transaction() as session:
        storage.put_backtest(session, *due, MODEL_VERSION, quality, report, analysis)
    return True


@contextmanager
def reading_fits(database: Database) -> Iterator[Session]:
    """A session to read with; an older version that it finds unfitted is asked for, so that the next read finds it."""
    try:
        with database.read() as session:
            yield session
    except FitPending as pending:
        if pending.older_version is not None:
            with database.transaction() as session:
                ask_for_fit(session, *pending.older_version)
        raise


def read_fit(session: Session, matrix: Matrix, as_of: int | None) -> Fit:
    """The newest fit of a matrix, or that of the version `as_of`.

    Raises
    ------
    MatrixEmpty : there is no known row to learn from, or there was none
    OutOfRange : the matrix has no such version
    FitPending : a worker has not fitted it yet
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
    wanted = f"version {as_of}" if as_of is not None else "any version"
    raise _pending(matrix, as_of, f"has no fit of {wanted} yet; a worker makes it between jobs", 2)


def read_backtest(session: Session, matrix_id: str, as_of: int | None) -> dict[str, Any]:
    """The back-test made with the newest fit, or with that of the version `as_of`.

    Raises
    ------
    MatrixNotFound, MatrixEmpty, FitPending
    TooFewRows : the matrix has too few rows to leave one out
    """
    found = _read_tested(session, matrix_id, as_of)
    if found.backtest is None:
        raise TooFewRows(
            f"a back-test needs {FEWEST_ROWS_FOR_BACKTEST} known rows and more than {2 * PROBES} upstream examples"
        )
    return {"matrix": matrix_id, "matrix_version": found.matrix_version, **found.backtest}


def read_analysis(session: Session, matrix_id: str, as_of: int | None) -> dict[str, Any]:
    """What the known rows look like, as analysed with the newest fit, or with that of the version `as_of`.

    Raises
    ------
    MatrixNotFound, MatrixEmpty, FitPending
    """
    found = _read_tested(session, matrix_id, as_of)
    assert found.analysis is not None
    return {"matrix": matrix_id, "matrix_version": found.matrix_version, **found.analysis}


def _read_tested(session: Session, matrix_id: str, as_of: int | None) -> Fit:
    matrix = storage.get_matrix(session, matrix_id)
    found = read_fit(session, matrix, as_of)
    if not found.tested:
        raise _pending(matrix, as_of, "is not back-tested and analysed yet; a worker does it between jobs", 5)
    return found


def _pending(matrix: Matrix, as_of: int | None, what: str, retry_after: float) -> FitPending:
    pending = FitPending(f"the matrix {matrix.id!r} {what}", retry_after=retry_after)
    if as_of is not None and as_of < matrix.version:
        pending.older_version = matrix.id, as_of
    return pending


def _read_repeats(session: Session, matrix_id: str, version: int) -> list[Repeat]:
    repeats = []
    for task_id, row_version, repeat_id, repeat_version in storage.repeated_rows(session, matrix_id, version):
        first = believable(task_storage.read_cells(session, task_id, row_version, None), task_id)
        second = believable(task_storage.read_cells(session, repeat_id, repeat_version, None), repeat_id)
        _both, here, there = np.intersect1d(first.positions, second.positions, True, True)
        if here.size:
            repeats.append(Repeat(task_id, first.forgetting[here], second.forgetting[there]))
    return repeats


def _backtest(known: ForgettingMatrix) -> dict[str, Any] | None:
    """Error on left-out rows; None when there are too few rows or too few examples to probe."""
    if known.n_tasks < FEWEST_ROWS_FOR_BACKTEST or known.n_examples <= 2 * PROBES:
        return None
    left_out = np.unique(np.linspace(0, known.n_tasks - 1, MOST_ROWS_LEFT_OUT).round().astype(int)).tolist()
    refitted = REFIT_PER_TASK if known.observed.size <= MOST_CELLS_REFITTED else ()
    methods = (DEFAULT_METHOD, *BASELINES, *refitted)
    return asdict(backtest(known, test=left_out, n_probes=PROBES, methods=methods, draws=BACKTEST_DRAWS))


def _quality(report: dict[str, Any], version: int, n_tasks: int) -> dict[str, Any]:
    own, popularity = report["methods"][report["default"]], report["methods"]["popularity"]
    return {
        "method": report["default"],
        "matrix_version": version,
        "n_tasks": n_tasks,
        "n_probes": PROBES,
        "spearman": own["spearman"],
        "spearman_popularity": popularity["spearman"],
        "recall_5pct": own["recall_5pct"],
        "recall_5pct_popularity": popularity["recall_5pct"],
        "rmse": own["rmse_unprobed"],
        "rmse_popularity": popularity["rmse_unprobed"],
        "coverage": own["coverage_mean"],
    }
