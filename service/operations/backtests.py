"""Back-test a fitted matrix version beside the jobs: which rows, by which methods, and what forecasts carry of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

import numpy as np

from forgetcast.completion import DEFAULT_METHOD, ForgettingMatrix, backtest
from forgetcast.completion.methods.popularity import POPULARITY
from forgetcast.completion.methods.refit_per_task import REFIT_PER_TASK
from forgetcast.completion.methods.registry import BASELINES
from forgetcast.completion.reports.backtest_report import BacktestReport, MethodFigures
from forgetcast.completion.types import Floats
from forgetcast.completion.validation import splits

PROBES = 30  # of the paper's protocol, and the default size of a probe
DRAWS = 2
FEWEST_ROWS = 3
FEWEST_CELLS = 2 * PROBES + 1  # measured, of a row that is forecast
MOST_LEFT_OUT = 10  # families or tasks, each a fit of its own; `forgetcast backtest` leaves out all of them
MOST_FORECAST = 40  # rows of these families
MOST_CELLS_REFITTED = 1_000_000  # known cells; methods that are fitted anew for every forecast take too long beyond

T = TypeVar("T")


def backtest_matrix(known: ForgettingMatrix, base: Floats | None = None) -> BacktestReport | None:
    """Error on left-out rows; None when there are too few rows, or none with cells enough. `base` as in `backtest`."""
    rows = rows_to_forecast(known)
    if known.n_tasks < FEWEST_ROWS or not rows:
        return None
    refitted = REFIT_PER_TASK if known.observed.size <= MOST_CELLS_REFITTED else ()
    methods = (DEFAULT_METHOD, *BASELINES, *refitted)
    return backtest(known, test=rows, n_probes=PROBES, methods=methods, draws=DRAWS, base=base)


def rows_to_forecast(known: ForgettingMatrix) -> list[int]:
    """All rows of some families, or some rows where families are not known, evenly over the matrix.

    None of them has too few cells to be both probed and scored.
    """
    enough = known.observed.sum(axis=1) >= FEWEST_CELLS
    groups = [[row for row in group if enough[row]] for group in splits.left_out_together(known)]
    chosen = _evenly([group for group in groups if group], MOST_LEFT_OUT)
    return _evenly(sorted(row for group in chosen for row in group), MOST_FORECAST)


def quality(report: BacktestReport, n_tasks: int) -> dict[str, Any] | None:
    """What forecasts say of themselves, as `schemas.Quality` has it but for the matrix version; None without scores."""
    figures = _figures(report.methods, report.default)
    alone = None if report.tasks_alone is None else _figures(report.tasks_alone, report.default)
    if figures is None:
        return None
    return {
        "method": report.default,
        "n_tasks": n_tasks,
        "n_probes": report.n_probes,
        "left_out": report.left_out,
        **figures,
        "tasks_alone": alone,
    }


def _figures(methods: Mapping[str, MethodFigures], default: str) -> dict[str, float | None] | None:
    own, popularity = methods[default], methods[POPULARITY.name]
    needed = {
        "spearman": own.spearman,
        "spearman_popularity": popularity.spearman,
        "recall_5pct": own.recall_5pct,
        "recall_5pct_popularity": popularity.recall_5pct,
        "rmse": own.rmse_unprobed,
        "rmse_popularity": popularity.rmse_unprobed,
        "coverage": own.coverage_mean,
    }
    if None in needed.values():
        return None
    return needed | {
        "top_coverage": own.top_coverage,
        "top_bias_share": own.top_bias_share,
        "domain_coverage": own.domain_coverage,
        "row_mean_coverage": own.row_mean_coverage,
        "row_mean_error": own.row_mean_error,
        "row_mean_error_popularity": popularity.row_mean_error,
    }


def _evenly(found: list[T], most: int) -> list[T]:
    places = np.unique(np.linspace(0, len(found) - 1, min(most, len(found))).round().astype(int))
    return [found[place] for place in places.tolist()]
