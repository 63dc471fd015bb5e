"""Scores of one method on one held-out task, and the figures of a back-test made from them.

Notation
    scored  the cells outside the probe pool, where every method is compared
    rel     exp(mean over tasks of ln(RMSE / RMSE of the training column mean))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forgetcast.completion.metrics import (
    binomial_interval,
    coverage,
    geometric_mean_interval,
    recall,
    rmse,
    spearman,
)
from forgetcast.completion.refitted import PointForecast
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Mask

USUAL_COVERAGE = (0.80, 0.97)  # a task's coverage at nominal 0.9 counts as right within these


@dataclass
class TaskScores:
    """One entry per fold and draw in every list."""

    task_id: str
    squared: list[float] = field(default_factory=list)  # sum of squared error over the scored cells
    squared_mean: list[float] = field(default_factory=list)  # the same for the training column mean
    n_scored: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)

    def add(
        self,
        forecast: RowForecast | PointForecast,
        truth: Floats,
        observed: Mask,
        scored: Mask,
        column_mean: Floats,
        seconds: float,
    ) -> None:
        """Score one forecast; (N,) arrays, only observed cells of the truth are read."""
        self.squared.append(float(np.sum((forecast.mean - truth)[scored] ** 2)))
        self.squared_mean.append(float(np.sum((column_mean - truth)[scored] ** 2)))
        self.n_scored.append(int(scored.sum()))
        found = _row_scores(forecast, truth, observed, scored)
        if isinstance(forecast, RowForecast):
            found |= _interval_scores(forecast, truth, observed, scored)
        for name, value in {**found, "seconds": seconds}.items():
            self.scores.setdefault(name, []).append(value)

    def log_ratio(self, first: int | None = None) -> float:
        """ln(RMSE / RMSE of the training column mean) over the first entries; 0 when both are exact."""
        own, column = sum(self.squared[:first]), sum(self.squared_mean[:first])
        return 0.5 * float(np.log((own + 1e-300) / (column + 1e-300)))

    def mean(self, name: str) -> float:
        """Mean over folds and draws; NaN where the method gives nothing to score, as a point no interval."""
        return float(np.mean(self.scores[name])) if name in self.scores else float("nan")

    def root_mean_square(self, name: str) -> float:
        return float(np.sqrt(np.mean(np.square(self.scores[name]))))


def method_figures(tasks: list[TaskScores], draws: int, seed: int) -> dict[str, Any]:
    """Figures of one method over all tasks."""
    rel, low, high = geometric_mean_interval(np.array([task.log_ratio() for task in tasks]), seed)
    squared = sum(sum(task.squared) for task in tasks)
    n_scored = sum(sum(task.n_scored) for task in tasks)
    covered = np.array([task.mean("coverage") for task in tasks])
    return {
        "rel": rel,
        "rel_low": low,
        "rel_high": high,
        "rmse_common": _number(np.sqrt(squared / max(n_scored, 1))),
        "recall_common": _average(tasks, "recall_common"),
        "rmse_unprobed": _pooled(tasks, "rmse_unprobed"),
        "rmse_row": _pooled(tasks, "rmse_row"),
        "recall_5pct": _average(tasks, "recall_5pct"),
        "spearman": _average(tasks, "spearman"),
        "coverage_mean": _number(covered.mean()),
        "coverage_tasks": _usual_share(covered),
        "row_mean_error": _pooled(tasks, "row_mean_error"),
        "row_mean_coverage": _average(tasks, "row_mean_covered"),
        "row_mean_coverage_interval": _row_mean_interval(tasks),
        "row_mean_halfwidth": _number(np.median([task.mean("row_mean_halfwidth") for task in tasks])),
        "seconds_per_task": _number(np.median([np.median(task.scores["seconds"]) for task in tasks])),
        "draws": draws,
        "tasks": [_task_figures(task, squared) for task in tasks],
    }


def _task_figures(task: TaskScores, all_squared: float) -> dict[str, Any]:
    return {
        "task": task.task_id,
        "rel": float(np.exp(task.log_ratio())),
        "squared_error_share": _number(sum(task.squared) / max(all_squared, 1e-300)),
        "rmse": _number(np.sqrt(sum(task.squared) / max(sum(task.n_scored), 1))),
        "recall_5pct": _number(task.mean("recall_5pct")),
        "spearman": _number(task.mean("spearman")),
        "coverage": _number(task.mean("coverage")),
    }


def paired_figures(scores: Mapping[str, list[TaskScores]], default: str, seed: int) -> dict[str, dict[str, float]]:
    """Geometric mean over tasks of the default's error over each other method's, on the same cells and draws."""
    paired: dict[str, dict[str, float]] = {}
    for method, tasks in scores.items():
        if method != default:
            pairs = zip(scores[default], tasks, strict=True)
            # The first of both: draws come in order, and some methods have fewer.
            differences = [
                own.log_ratio(len(other.squared)) - other.log_ratio(len(own.squared)) for own, other in pairs
            ]
            ratio, low, high = geometric_mean_interval(np.array(differences), seed)
            paired[method] = {"ratio": ratio, "low": low, "high": high}
    return paired


def _row_scores(forecast: RowForecast | PointForecast, truth: Floats, observed: Mask, scored: Mask) -> dict[str, float]:
    unprobed = observed & ~forecast.measured
    return {
        "recall_common": recall(forecast.mean[scored], truth[scored]),
        "rmse_unprobed": rmse(forecast.mean[unprobed], truth[unprobed]),
        "rmse_row": rmse(forecast.mean[observed], truth[observed]),
        "recall_5pct": recall(forecast.mean[observed], truth[observed]),
        "spearman": spearman(forecast.mean[observed], truth[observed]),
        # The row mean is that of the observed cells: the others have no truth.
        "row_mean_error": float(forecast.mean[observed].mean() - truth[observed].mean()),
    }


def _interval_scores(forecast: RowForecast, truth: Floats, observed: Mask, scored: Mask) -> dict[str, float]:
    row_mean = forecast.summary({"row": np.flatnonzero(observed)})["row"]
    return {
        "coverage": coverage(forecast.low[scored], forecast.high[scored], truth[scored]),
        "row_mean_covered": float(row_mean.low <= float(truth[observed].mean()) <= row_mean.high),
        "row_mean_halfwidth": (row_mean.high - row_mean.low) / 2,
    }


def _usual_share(covered: Floats) -> float | None:
    """Share of tasks whose coverage is as it should be; None for a method without intervals."""
    usual = (covered >= USUAL_COVERAGE[0]) & (covered <= USUAL_COVERAGE[1])
    return None if np.isnan(covered).any() else float(usual.mean())


def _row_mean_interval(tasks: list[TaskScores]) -> list[float] | None:
    """Exact 90% interval of the row mean's coverage, the tasks being what is sampled; None without intervals."""
    covered = sum(task.mean("row_mean_covered") for task in tasks)
    return None if np.isnan(covered) else list(binomial_interval(round(covered), len(tasks)))


def _average(tasks: list[TaskScores], name: str) -> float | None:
    return _number(np.mean([task.mean(name) for task in tasks]))


def _pooled(tasks: list[TaskScores], name: str) -> float | None:
    return _number(np.sqrt(np.mean([task.root_mean_square(name) ** 2 for task in tasks])))


def _number(value: Any) -> float | None:
    """A float that JSON can carry."""
    return float(value) if np.isfinite(value) else None
