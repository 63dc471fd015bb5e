import json
import sys
from dataclasses import asdict
from typing import Any

import numpy as np
import pytest

from forgetcast.completion import ALL_METHODS, ForgettingMatrix
from forgetcast.completion import backtest as run
from forgetcast.completion.fit_method import fit
from forgetcast.completion.reports.scores import TaskScores
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod

FIGURES = {
    "rel",
    "rel_low",
    "rel_high",
    "rmse_common",
    "recall_common",
    "rmse_unprobed",
    "rmse_row",
    "recall_5pct",
    "spearman",
    "coverage_mean",
    "coverage_tasks",
    "row_mean_error",
    "row_mean_coverage",
    "row_mean_coverage_interval",
    "draws",
    "row_mean_halfwidth",
    "seconds_per_task",
    "tasks",
}


def backtest(*arguments, **options) -> dict[str, Any]:
    """The report as it is written as JSON."""
    return asdict(run(*arguments, **options))


def without_times(report):
    for figures in report["methods"].values():
        figures.pop("seconds_per_task")
    return report


def test_every_task_is_left_out_in_turn_and_the_report_is_json(make_matrix):
    matrix = make_matrix(n_tasks=8, n_examples=60)
    report = json.loads(json.dumps(backtest(matrix, n_probes=10, draws=2)))
    assert tuple(report["methods"]) == ALL_METHODS
    for figures in report["methods"].values():
        assert set(figures) >= FIGURES
        assert [row["task"] for row in figures["tasks"]] == list(matrix.task_ids)
    assert report["methods"]["popularity"]["rel"] == pytest.approx(1)
    assert report["methods"]["local"]["rel"] < report["methods"]["additive"]["rel"]
    assert report["paired"]["popularity"]["high"] < 1
    assert sum(row["squared_error_share"] for row in report["methods"]["local"]["tasks"]) == pytest.approx(1)


def test_methods_that_refit_give_a_point_and_at_most_two_draws(make_matrix):
    report = backtest(make_matrix(n_tasks=8, n_examples=60), test=[5, 6], n_probes=10, draws=3, level=0.8)
    for method, figures in report["methods"].items():
        refitted = method in ("knn", "mf")
        assert figures["draws"] == (2 if refitted else 3)
        assert (figures["coverage_mean"] is None) == (figures["coverage_tasks"] is None) == refitted
        assert (figures["row_mean_coverage_interval"] is None) == (figures["row_mean_halfwidth"] is None) == refitted
        assert figures["rmse_common"] > 0


def test_the_default_is_compared_on_the_draws_that_both_have(make_matrix):
    matrix = make_matrix(n_tasks=8, n_examples=60)
    options: dict[str, Any] = {"test": [5, 6, 7], "n_probes": 10, "methods": ["factor", "knn"]}
    long, short = (backtest(matrix, draws=draws, **options)["paired"]["knn"] for draws in (6, 2))
    assert long == short
    assert backtest(matrix, draws=6, test=[5, 6, 7], n_probes=10, methods=["knn", "factor"])["default"] == "knn"


def test_many_rows_are_left_out_several_together_and_reported_in_order(make_matrix, monkeypatch):
    fitted = []

    def spy(known, method, seed):
        fitted.append(known.task_ids)
        return fit(known, method, seed)

    monkeypatch.setattr(sys.modules["forgetcast.completion.reports.backtest"], "fit", spy)
    matrix, heard = make_matrix(n_tasks=25, n_examples=30), []
    report = backtest(
        matrix, n_probes=5, draws=1, methods=["additive"], on_progress=lambda done, of: heard.append((done, of))
    )
    assert [row["task"] for row in report["methods"]["additive"]["tasks"]] == list(matrix.task_ids)
    assert len(fitted) == 10
    left_out = [task for known in fitted for task in matrix.task_ids if task not in known]
    assert sorted(left_out) == sorted(matrix.task_ids)
    assert heard[-1] == (25, 25)


def test_training_and_test_rows_can_be_named(make_matrix):
    matrix = make_matrix(n_tasks=9, n_examples=40)
    report = backtest(matrix, train=range(6), test=[7, 8], n_probes=5, draws=1, methods=["additive"])
    assert [row["task"] for row in report["methods"]["additive"]["tasks"]] == ["task-7", "task-8"]
    rest = backtest(matrix, train=range(6), n_probes=5, draws=1, methods=["additive"])
    assert len(rest["methods"]["additive"]["tasks"]) == 3


def test_a_row_does_not_help_to_forecast_itself(make_matrix):
    """What a left-out row holds beyond its probes must not reach its forecast: the others' errors stay as they were."""
    matrix = make_matrix(n_tasks=6, n_examples=40, rank=0)
    values = matrix.forgetting.copy()
    values[2] += np.random.default_rng(0).normal(0, 10, 40)
    report = backtest(ForgettingMatrix.from_arrays(values), n_probes=5, draws=1, methods=["popularity"])
    assert report["methods"]["popularity"]["tasks"][2]["rmse"] > 5


@pytest.mark.parametrize("design", ["mixed", "optimal", "random"])
def test_probes_are_never_scored_and_baselines_get_random_ones(make_matrix, design, monkeypatch):
    seen = []
    original = TaskScores.add

    def spy(self, forecast, truth, observed, scored, *others):
        seen.append((forecast.measured & scored).any())
        original(self, forecast, truth, observed, scored, *others)

    monkeypatch.setattr(TaskScores, "add", spy)
    matrix = make_matrix(n_tasks=5, n_examples=40)
    report = backtest(matrix, n_probes=6, draws=2, design=design, methods=["local", "popularity"])
    assert len(seen) == 2 * 2 * 2 * 5
    assert not any(seen)
    plain = backtest(matrix, n_probes=6, draws=2, design="random", methods=["popularity"])
    assert without_times(report)["methods"]["popularity"] == without_times(plain)["methods"]["popularity"]


def test_same_seed_same_report(make_matrix):
    matrix = make_matrix(n_tasks=5, n_examples=40)
    first, second = (without_times(backtest(matrix, test=[4], n_probes=5, draws=2, seed=3)) for _ in range(2))
    assert first == second


def test_unobserved_entries_are_never_read(make_matrix):
    matrix = make_matrix(n_tasks=6, n_examples=40, missing=0.2)
    poisoned = ForgettingMatrix.from_arrays(
        np.where(matrix.observed, matrix.forgetting, 1e300), observed=matrix.observed
    )
    first, second = (without_times(backtest(m, test=[0, 5], n_probes=5, draws=1)) for m in (matrix, poisoned))
    assert first == second


def test_a_row_of_a_cell_or_two_does_not_take_the_figures_of_the_others(make_matrix):
    values = make_matrix(n_tasks=6, n_examples=40).forgetting.copy()
    values[2, 2:] = np.nan
    domains = ["poems", "code"] * 20
    matrix = ForgettingMatrix.from_arrays(values, domains=domains)
    figures = backtest(matrix, n_probes=10, draws=2, design="random", methods=["factor"])["methods"]["factor"]
    assert [name for name, value in figures.items() if value is None] == []


def test_fewer_examples_than_probes_are_answered(make_matrix):
    report = backtest(make_matrix(n_tasks=4, n_examples=5), n_probes=30, draws=1)
    assert report["methods"]["local"]["rmse_common"] is not None


@pytest.mark.parametrize(("n_probes", "had"), [(0, 0), (7, 7), (20, 20), (1000, 20)])
def test_the_report_says_how_many_probes_a_forecast_had(make_matrix, n_probes, had):
    report = backtest(make_matrix(n_tasks=4, n_examples=40), n_probes=n_probes, draws=1, methods=["popularity"])
    assert report["n_probes"] == had


def test_two_rows_are_too_few(make_matrix):
    with pytest.raises(TooFewRows):
        backtest(make_matrix(n_tasks=2))


@pytest.mark.parametrize("wrong", [{"methods": ["magic"]}, {"design": "magic"}])
def test_unknown_names_are_refused(make_matrix, wrong):
    with pytest.raises(UnknownMethod, match="magic"):
        backtest(make_matrix(), **wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"train": [0, 1, 2], "test": [2]},
        {"train": [0, 1, 1], "test": [2]},
        {"test": [3, 3]},
        {"test": [99]},
        {"train": []},
        {"test": []},
        {"draws": 0},
        {"n_probes": -1},
        {"train": range(6)},
    ],
)
def test_rows_and_numbers_out_of_range_are_refused(make_matrix, wrong):
    with pytest.raises(OutOfRange):
        backtest(make_matrix(), **wrong)
