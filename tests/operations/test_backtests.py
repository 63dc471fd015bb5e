"""What the service back-tests, and what forecasts carry of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from forgetcast import schemas
from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.reports.backtest_report import BacktestReport
from service.operations import backtests
from service.operations.backtests import backtest_matrix, quality, rows_to_forecast
from tests.api.conftest import low_rank_rows


@pytest.fixture
def without_refits(monkeypatch: pytest.MonkeyPatch) -> None:
    """KNN and matrix factorisation are most of the time, and no part of the quality."""
    monkeypatch.setattr(backtests, "MOST_CELLS_REFITTED", 0)


def matrix(families: Sequence[str | None] | None, n_tasks: int | None = None) -> ForgettingMatrix:
    n_tasks = n_tasks if families is None else len(families)
    assert n_tasks is not None
    domains = [("cooking", "history")[place % 2] for place in range(80)]
    return ForgettingMatrix.from_arrays(low_rank_rows(n_tasks), families=families, domains=domains)


def _quality(report: BacktestReport) -> schemas.Quality:
    found = quality(report, len(report.methods["blend"].tasks))
    assert found is not None
    return schemas.Quality.model_validate({**found, "matrix_version": 7})


def test_families_are_forecast_whole_and_at_most_ten_of_them() -> None:
    known = matrix([f"family-{row // 3}" for row in range(36)])
    forecast = {known.task_ids[row] for row in rows_to_forecast(known)}
    by_family = [set(known.task_ids[3 * family : 3 * family + 3]) for family in range(12)]
    assert len(forecast) == 30
    assert all(family <= forecast or not family & forecast for family in by_family)


def test_rows_of_large_families_are_thinned_but_every_family_keeps_some() -> None:
    known = matrix([f"family-{row // 30}" for row in range(120)])
    rows = rows_to_forecast(known)
    assert len(rows) == len(set(rows)) == 40
    assert {row // 30 for row in rows} == {0, 1, 2, 3}


def test_without_families_ten_tasks_are_forecast() -> None:
    assert len(rows_to_forecast(matrix(None, 25))) == 10
    assert rows_to_forecast(matrix(None, 4)) == [0, 1, 2, 3]


@pytest.mark.usefixtures("without_refits")
def test_what_to_replay_is_chosen_by_base_values_too_where_they_are_known() -> None:
    known = matrix([f"family-{row // 2}" for row in range(6)])
    for base, is_there in ((np.linspace(1, 3, 80), True), (np.full(80, np.nan), False), (None, False)):
        report = backtest_matrix(known, base)
        assert report is not None and report.replay is not None
        assert all((of.base is not None) == is_there for of in report.replay.shares)


@pytest.mark.usefixtures("without_refits")
def test_quality_has_the_figures_of_families_and_those_of_tasks_beside_them() -> None:
    known = matrix([f"family-{row // 2}" for row in range(6)])
    report = backtest_matrix(known)
    assert report is not None and report.tasks_alone is not None
    found = _quality(report)
    assert (found.left_out, found.n_probes, found.n_tasks) == ("families", 30, 6)
    assert found.tasks_alone is not None
    assert found.spearman == report.methods["blend"].spearman
    assert found.tasks_alone.spearman == report.tasks_alone["blend"].spearman
    assert found.tasks_alone.recall_5pct_popularity == report.tasks_alone["popularity"].recall_5pct
    for figures in (found, found.tasks_alone):
        shares = (figures.top_coverage, figures.domain_coverage, figures.row_mean_coverage)
        assert all(share is not None and 0 <= share <= 1 for share in shares)
        assert figures.top_bias_share is not None


@pytest.mark.usefixtures("without_refits")
def test_without_families_quality_is_that_of_tasks() -> None:
    known = matrix(None, 3)
    report = backtest_matrix(known)
    assert report is not None
    found = _quality(report)
    assert (found.left_out, found.tasks_alone) == ("tasks", None)


def test_rows_with_too_few_cells_to_probe_and_score_are_not_forecast() -> None:
    Z = low_rank_rows(6)
    Z[2, 60:] = np.nan
    assert rows_to_forecast(ForgettingMatrix.from_arrays(Z)) == [0, 1, 3, 4, 5]
    Z[:, 60:] = np.nan
    assert backtest_matrix(ForgettingMatrix.from_arrays(Z)) is None


@pytest.mark.parametrize("n_tasks", [1, 2])
def test_too_few_rows_are_not_tested(n_tasks: int) -> None:
    assert backtest_matrix(matrix(None, n_tasks)) is None
