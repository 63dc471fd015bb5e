"""The decision that a forecast is made for: forgetting covered by what it chooses."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import backtest
from forgetcast.completion.reports.replay_scores import SHARES, replay_figures, replay_gains
from forgetcast.errors import WrongShape

N = 200
TRUTH = np.random.default_rng(0).normal(0.1, 0.1, N)
SCORED = np.arange(N) % 2 == 1


def figures(forecast, column_mean=None, base=None, truth=TRUTH, n_tasks=3):
    column_mean = np.zeros(N) if column_mean is None else column_mean
    gains = replay_gains(forecast, truth, SCORED, column_mean, base)
    return {of.share: of for of in replay_figures([[gains]] * n_tasks, "blend", 0).shares}


def test_the_truth_covers_everything_and_so_does_whatever_ranks_like_it():
    for forecast in (TRUTH, 3 * TRUTH - 1):
        assert all(of.forecast.mean == pytest.approx(1.0) for of in figures(forecast).values())


def test_the_reverse_of_the_truth_covers_less_than_random():
    found = figures(-TRUTH)
    assert set(found) == set(SHARES)
    assert all(of.over_random.high < 0 for of in found.values())


def test_covered_is_the_forgetting_of_the_chosen_over_that_of_the_best():
    forecast = np.random.default_rng(1).normal(size=N)
    cells = np.flatnonzero(SCORED)
    chosen = cells[np.argsort(-forecast[cells])[:10]]
    best = np.sort(TRUTH[cells])[-10:].sum()
    of = figures(forecast)[0.1]
    assert of.forecast.mean == pytest.approx(TRUTH[chosen].sum() / best)
    assert of.random.mean == pytest.approx(10 * TRUTH[cells].mean() / best)


def test_cells_that_could_be_probed_are_not_counted():
    changed = np.where(SCORED, TRUTH, 1e3)
    assert figures(TRUTH, truth=changed)[0.05].forecast.mean == pytest.approx(1.0)


def test_log_perplexity_before_is_a_baseline_where_it_is_known():
    assert figures(TRUTH, base=TRUTH)[0.05].base.mean == pytest.approx(1.0)
    assert figures(TRUTH)[0.05].base is None
    unknown = np.where(np.arange(N) == 1, np.inf, TRUTH)
    assert figures(TRUTH, base=unknown)[0.05].base is None


def test_a_task_in_which_nothing_is_forgotten_says_nothing():
    of = figures(TRUTH, truth=np.full(N, -0.1))[0.05]
    assert (of.n_tasks, of.forecast, of.by_task) == (0, None, (None, None, None))


def test_the_back_test_has_it_beside_the_errors(make_matrix):
    matrix = make_matrix(n_tasks=8, n_examples=60)
    report = backtest(matrix, methods=["blend", "popularity"], draws=1, n_probes=10, base=np.arange(60.0))
    assert report.replay is not None and (report.replay.method, report.replay.n_tasks) == ("blend", 8)
    for of in report.replay.shares:
        assert of.forecast is not None and of.forecast.low <= of.forecast.mean <= of.forecast.high
        assert of.base is not None and len(of.by_task) == 8
    fifth = report.replay.shares[2]
    assert fifth.over_random is not None and fifth.over_random.mean > 0
    with pytest.raises(WrongShape, match="60 examples"):
        backtest(matrix, draws=1, base=np.zeros(3))
