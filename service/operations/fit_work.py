"""Fits and back-tests as work: claimed, gathered into a folder, done there by whoever the caller chooses, and kept."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import numpy as np

from forgetcast.completion import MODEL_VERSION, Repeat
from forgetcast.errors import FitPending
from service.operations import fit_folder
from service.operations.base_values import base_values, unmeasurable
from service.operations.belief import believable
from service.operations.fit_files import fetch
from service.operations.known import each_known
from service.storage import fit_work as storage
from service.storage import matrices
from service.storage import tasks as task_storage
from service.storage.database import Database, Session
from service.storage.fit_work import Due, FitOrder, Kind
from service.storage.upstream_sets import read_columns

QUIET = timedelta(seconds=1)  # after a change of the rows: many rows that are imported one by one are fitted once


def claim_fit(
    database: Database, owner: str, lease: timedelta, quiet: timedelta = QUIET, among: tuple[Due, ...] = tuple(Due)
) -> FitOrder | None:
    """Take the first piece of work that is due, for one lease; None when there is none."""
    with database.read() as session:
        if not storage.any_due(session, MODEL_VERSION, quiet, among):
            return None
    with database.transaction() as session:
        return storage.claim(session, MODEL_VERSION, owner, lease, quiet, among)


def gather(database: Database, order: FitOrder, folder: Path) -> None:
    """Write what the work needs into its folder, with one row in memory at a time."""
    (folder / fit_folder.ORDER).write_text(json.dumps({"kind": order.kind}), encoding="utf-8")
    with database.read() as session:
        _write_known(session, order, folder)
        if order.kind is Kind.BACKTEST:
            fit_folder.write_repeats(folder, _read_repeats(session, order))
            np.save(folder / fit_folder.BASE, base_values(session, matrices.get_matrix(session, order.matrix_id)))
        elif not order.n_failed:  # an earlier fit may be what makes this one fail
            _write_earlier(session, order, folder)


def keep(database: Database, order: FitOrder, folder: Path) -> bool:
    """Keep what was made. False when the work is lost to another claim."""
    with database.transaction() as session:
        if order.kind is Kind.FIT:
            with (folder / fit_folder.FIT).open("rb") as packed:
                left_out = unmeasurable(session, matrices.get_matrix(session, order.matrix_id))
                matrices.put_fit(session, *order.key[:3], packed, left_out)
        else:
            found = json.loads((folder / fit_folder.BACKTEST).read_bytes())
            if found["quality"] is not None:
                found["quality"]["matrix_version"] = order.matrix_version
            parts = (found[name] for name in ("quality", "report", "analysis", "drawn_errors"))
            matrices.put_backtest(session, *order.key[:3], *parts)
        held = storage.finish(session, order)  # last: while a large fit is written the claim is renewed
        if not held:
            session.rollback()
    return held


def fit_here(
    database: Database,
    *,
    quiet: timedelta = timedelta(0),
    among: tuple[Due, ...] = tuple(Due),
    work: Callable[[Path], None] = fit_folder.work_in,
) -> bool:
    """Do one piece of work in this process; False when none is due. A failure is noted and raised.

    For tests and benchmarks: a worker does it in a process of its own (workers/host/fit_loop.py).
    """
    order = claim_fit(database, "here", timedelta(hours=1), quiet, among)
    if order is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        try:
            gather(database, order, Path(folder))
            work(Path(folder))
            return keep(database, order, Path(folder))
        except Exception as error:
            with database.transaction() as session:
                storage.fail(session, order, getattr(error, "code", "internal"), str(error))
            raise


def _write_known(session: Session, order: FitOrder, folder: Path) -> None:
    """Raises MatrixEmpty when no row has a value that can be believed."""
    columns = read_columns(session, matrices.get_matrix(session, order.matrix_id).upstream_set_id)
    known = each_known(session, order.matrix_id, order.matrix_version, len(columns.example_ids))
    fit_folder.write_known(folder, columns.example_ids, columns.domains, known)


def _write_earlier(session: Session, order: FitOrder, folder: Path) -> None:
    newest = matrices.newest_fit(session, order.matrix_id, MODEL_VERSION, None)
    if newest is None:
        return
    try:
        with (folder / fit_folder.EARLIER).open("wb") as packed:
            fetch(session, newest.arrays_sha256, packed)
    except FitPending:  # it has made room meanwhile; it only saves time
        (folder / fit_folder.EARLIER).unlink()


def _read_repeats(session: Session, order: FitOrder) -> list[Repeat]:
    repeats = []
    rows = matrices.repeated_rows(session, order.matrix_id, order.matrix_version)
    for task_id, row_version, repeat_id, repeat_version in rows:
        first = believable(task_storage.read_cells(session, task_id, row_version, None), task_id)
        second = believable(task_storage.read_cells(session, repeat_id, repeat_version, None), repeat_id)
        both, here, there = np.intersect1d(first.positions, second.positions, True, True)
        if here.size:
            repeats.append(Repeat(task_id, first.forgetting[here], second.forgetting[there], both))
    return repeats
