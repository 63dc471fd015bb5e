"""Fits as work: one at a time, failures that wait and stand in nobody's way, claims that can be lost."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from forgetcast.completion import MODEL_VERSION
from forgetcast.errors import FitFailed, FitPending, MatrixEmpty
from service.operations.base_values import keep_base_values
from service.operations.fit_work import fit_here, gather
from service.operations.fits import count_failures, read_failure, read_fit
from service.operations.rows import RowOrigin, import_row
from service.storage import fit_work
from service.storage.database import Database, Session
from service.storage.fit_work import Due, FitOrder, Kind
from service.storage.matrices import get_matrix
from service.storage.tables import Fit, FitWork, Matrix, Measurement, UpstreamExample, UpstreamSet
from tests.operations.at_once import at_once, raised

N_EXAMPLES = 12
LEASE, NO_QUIET = timedelta(minutes=1), timedelta(0)


@pytest.fixture
def matrices(database: Database) -> Database:
    """Matrices `bad`, whose rows hold what nobody can have measured, and `good`, which changed after it."""
    with database.transaction() as session:
        session.add(UpstreamSet(id="u", sha256="0", n_examples=N_EXAMPLES, n_held_out=0, has_texts=False, domains={}))
        session.flush()
        for position in range(N_EXAMPLES):
            example = {"set_id": "u", "position": position, "example_id": f"e{position}", "domain": ""}
            session.add(UpstreamExample(**example, tags=[], held_out=False))
        for name in ("bad", "good"):
            about = {"upstream_set_id": "u", "model": "x", "model_revision": "r", "recipe": {}, "setting": {}}
            session.add(Matrix(id=name, **about))
    draws = np.random.default_rng(0).normal(0.1, 0.05, (4, N_EXAMPLES)).astype(np.float32)
    for number, row in enumerate(draws):
        add_row(database, "good", f"good-{number}", row)
        add_row(database, "bad", f"bad-{number}", row)
    with database.transaction() as session:  # as an older service took them in
        values = np.full(N_EXAMPLES, 6e37, "<f4").tobytes()
        session.execute(sa.update(Measurement).where(Measurement.task_id.like("bad-%")).values(forgetting=values))
    with database.transaction() as session:
        session.execute(sa.update(Matrix).where(Matrix.id == "bad").values(changed_at=1.0))
        session.execute(sa.update(Matrix).where(Matrix.id == "good").values(changed_at=2.0))
    return database


def add_row(database: Database, matrix: str, task: str, values: np.ndarray) -> None:
    with database.transaction() as session:
        import_row(session, matrix, task, values, RowOrigin(), 100)


def claim(session: Session, among: tuple[Due, ...] = (Due.FIT,)) -> FitOrder | None:
    return fit_work.claim(session, MODEL_VERSION, "worker", LEASE, NO_QUIET, among)


def claimed(database: Database) -> FitOrder:
    with database.transaction() as session:
        order = claim(session)
    assert order is not None
    return order


def lose(database: Database) -> None:
    """Whoever is at a fit is killed, and its lease runs out."""
    with database.transaction() as session:
        session.execute(sa.update(FitWork).where(FitWork.token.is_not(None)).values(lease_until=1.0))


def wait(database: Database) -> None:
    with database.transaction() as session:
        session.execute(sa.update(FitWork).values(not_before=0.0))


def test_four_workers_at_once_are_at_different_work(matrices: Database) -> None:
    ended = at_once(matrices, *[claim] * 4)
    assert raised(ended) == []
    assert sorted(order.matrix_id for order in ended if order is not None) == ["bad", "good"]


def test_a_matrix_that_cannot_be_fitted_stops_no_other(matrices: Database) -> None:
    with pytest.raises(MatrixEmpty):
        fit_here(matrices, among=(Due.FIT,))
    assert fit_here(matrices, among=(Due.FIT,))
    assert not fit_here(matrices, among=(Due.FIT,))
    with matrices.read() as session:
        assert session.scalars(sa.select(Fit.matrix_id)).all() == ["good"]
        with pytest.raises(FitFailed, match=r"'bad' cannot be fitted: no known row .*tried again after"):
            read_fit(session, get_matrix(session, "bad"), None)
        failed = read_failure(session, "bad", 4)
        assert failed is not None and (failed.code, failed.n_failed, failed.what) == ("matrix_empty", 1, "fit")
        assert count_failures(session) == 1


def test_a_failure_is_tried_again_later_each_time_and_goes_away_with_the_row(matrices: Database) -> None:
    waits = []
    for _ in range(3):
        with pytest.raises(MatrixEmpty):
            fit_here(matrices, among=(Due.FIT,))
        with matrices.read() as session:
            waits.append(session.scalars(sa.select(FitWork.not_before)).one())
        wait(matrices)
        with matrices.transaction() as session:  # `good` is not in the way of this test
            session.execute(sa.update(Matrix).where(Matrix.id == "good").values(changed_at=1e12))
    first, second, third = np.diff([0.0, *np.array(waits) - waits[0] + 60])
    assert (first, second, third) == pytest.approx((60, 180, 720), abs=30)
    add_row(matrices, "bad", "bad-2", np.full(N_EXAMPLES, 0.1, np.float32))
    assert fit_here(matrices, among=(Due.FIT,))
    with matrices.read() as session:
        assert read_fit(session, get_matrix(session, "bad"), None).matrix_version == 5
        assert (count_failures(session), session.scalars(sa.select(FitWork)).all()) == (0, [])


def test_a_claim_that_ran_out_is_taken_up_at_once_and_counts_from_the_second_on(matrices: Database) -> None:
    first = claimed(matrices)
    lose(matrices)
    again = claimed(matrices)
    assert (again.matrix_id, again.n_failed) == (first.matrix_id, 1)
    with matrices.read() as session, pytest.raises(FitPending):
        read_fit(session, get_matrix(session, "bad"), None)
    lose(matrices)
    assert claimed(matrices).matrix_id == "good"
    with matrices.read() as session, pytest.raises(FitFailed, match="worker_lost"):
        read_fit(session, get_matrix(session, "bad"), None)


def test_what_is_given_back_has_not_failed(matrices: Database) -> None:
    order = claimed(matrices)
    with matrices.transaction() as session:
        assert fit_work.give_back(session, order)
    assert (claimed(matrices).matrix_id, claimed(matrices).n_failed) == ("bad", 0)


def test_a_claim_that_is_lost_keeps_and_notes_nothing(matrices: Database) -> None:
    order = claimed(matrices)
    lose(matrices)
    held = claimed(matrices)
    with matrices.transaction() as session:
        assert not fit_work.renew(session, order, LEASE)
        assert not fit_work.finish(session, order)
        assert not fit_work.fail(session, order, "internal", "")
        assert fit_work.renew(session, held, LEASE)


def test_a_back_test_gets_the_base_values(matrices: Database, tmp_path: Path) -> None:
    values = np.linspace(1, 2, N_EXAMPLES).astype(np.float32)
    with matrices.transaction() as session:
        keep_base_values(session, get_matrix(session, "good"), np.arange(1, N_EXAMPLES), values[1:])
    gather(matrices, FitOrder("good", 1, MODEL_VERSION, Kind.BACKTEST, "token", 0), tmp_path)
    there = np.load(tmp_path / "base.npy", allow_pickle=False)
    assert np.isnan(there[0]) and there[1:].tolist() == values[1:].tolist()


def test_of_a_matrix_one_fit_and_one_back_test_are_at_work(matrices: Database) -> None:
    with pytest.raises(MatrixEmpty):
        fit_here(matrices, among=(Due.FIT,))
    assert fit_here(matrices, among=(Due.FIT,))
    with matrices.transaction() as session:
        tested = claim(session, tuple(Due))
    add_row(matrices, "good", "good-9", np.full(N_EXAMPLES, 0.1, np.float32))
    with matrices.transaction() as session:
        fitted = claim(session, tuple(Due))
        assert claim(session, tuple(Due)) is None
    assert tested is not None and fitted is not None
    assert [(order.matrix_id, order.kind) for order in (tested, fitted)] == [
        ("good", Kind.BACKTEST),
        ("good", Kind.FIT),
    ]
