"""Scores of one method on one left-out task, and the figures of a back-test made from them.

Notation
    scored  the cells outside the probe pool, where every method is compared
    rel     exp(mean over tasks of ln(RMSE / RMSE of the training column mean))
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from forgetcast.completion.methods.refit_per_task import PointForecast
from forgetcast.completion.metrics import (
    LEAST_SQUARE,
    TOP_SHARE,
    binomial_interval,
    coverage,
    error_ratio_interval,
    recall,
    rmse,
    spearman,
)
from forgetcast.completion.reports.backtest_report import MethodFigures, PairedRatio, TaskFigures
from forgetcast.completion.reports.replay_scores import Gains, replay_gains
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.probe_mean import Interval

USUAL_COVERAGE = (0.80, 0.97)  # a task's coverage at nominal 0.9 counts as right within these
LOWEST_TASKS = 0.1  # share of the tasks that a worst figure is the mean of
FEWEST_CELLS = 3  # scored, of a domain whose cells are looked at


@dataclass
class TaskScores:
    """One entry per draw and fold in every list; by_domain: coverage of the scored cells of every domain."""

    task_id: str
    draws: int = 1
    squared: list[float] = field(default_factory=list)  # sum of squared error over the scored cells
    squared_mean: list[float] = field(default_factory=list)  # the same for the training column mean
    n_scored: list[int] = field(default_factory=list)
    scores: dict[str, list[float]] = field(default_factory=dict)
    by_domain: dict[str, list[float]] = field(default_factory=dict)
    replay: list[Gains] = field(default_factory=list)

    def add(
        self,
        forecast: RowForecast | PointForecast,
        truth: Floats,
        observed: Mask,
        scored: Mask,
        column_mean: Floats,
        domains: Mapping[str, Indices],
        seconds: float,
        base: Floats | None = None,
    ) -> None:
        """Score one forecast; (N,) arrays, only observed cells of the truth are read."""
        self.replay.append(replay_gains(forecast.mean, truth, scored, column_mean, base))
        self.squared.append(float(np.sum((forecast.mean - truth)[scored] ** 2)))
        self.squared_mean.append(float(np.sum((column_mean - truth)[scored] ** 2)))
        self.n_scored.append(int(scored.sum()))
        found = _row_scores(forecast, truth, observed, scored)
        if isinstance(forecast, RowForecast):
            found |= _interval_scores(forecast, truth, observed, scored)
            found |= _top_scores(forecast, truth, scored)
            found |= _domain_scores(forecast, truth, observed, domains)
            self._add_domains(forecast, truth, scored, domains)
        for name, value in {**found, "seconds": seconds}.items():
            self.scores.setdefault(name, []).append(value)

    def by_draw(self, squared: list[float]) -> Floats:
        """Squared errors of every draw, its folds added up. (draws,)"""
        return np.asarray(np.reshape(squared, (self.draws, -1)).sum(axis=1))

    def mean(self, name: str) -> float:
        """Mean over folds and draws; NaN where the method gives nothing to score, as a point no interval."""
        values = [value for value in self.scores.get(name, []) if not np.isnan(value)]
        return float(np.mean(values)) if values else float("nan")

    def root_mean_square(self, name: str) -> float:
        return float(np.sqrt(np.mean(np.square(self.scores[name]))))

    def _add_domains(self, forecast: RowForecast, truth: Floats, scored: Mask, domains: Mapping[str, Indices]) -> None:
        for name, positions in domains.items():
            cells = positions[scored[positions]]
            if cells.size >= FEWEST_CELLS:
                inside = coverage(forecast.low[cells], forecast.high[cells], truth[cells])
                self.by_domain.setdefault(name, []).append(inside)


def method_figures(tasks: list[TaskScores], draws: int, seed: int) -> MethodFigures:
    """Figures of one method over all tasks."""
    own, column = _by_draw(tasks, "squared"), _by_draw(tasks, "squared_mean")
    rel, low, high = error_ratio_interval(own, column, seed)
    squared = sum(sum(task.squared) for task in tasks)
    n_scored = sum(sum(task.n_scored) for task in tasks)
    covered = _of_tasks(tasks, "coverage")
    top_bias, top_mean = _average(tasks, "top_bias"), _average(tasks, "top_mean")
    return MethodFigures(
        rel=rel,
        rel_low=low,
        rel_high=high,
        rmse_common=_number(np.sqrt(squared / max(n_scored, 1))),
        recall_common=_average(tasks, "recall_common"),
        rmse_unprobed=_pooled(tasks, "rmse_unprobed"),
        rmse_row=_pooled(tasks, "rmse_row"),
        recall_5pct=_average(tasks, "recall_5pct"),
        spearman=_average(tasks, "spearman"),
        coverage_mean=_average(tasks, "coverage"),
        coverage_tasks=_usual_share(covered),
        coverage_worst_domain=_worst_domain(tasks),
        row_mean_error=_pooled(tasks, "row_mean_error"),
        row_mean_coverage=_average(tasks, "row_mean_covered"),
        row_mean_coverage_interval=_row_mean_interval(tasks),
        row_mean_halfwidth=_median(tasks, "row_mean_halfwidth"),
        mean_interval_coverage=_average(tasks, "mean_interval_covered"),
        mean_interval_halfwidth=_median(tasks, "mean_interval_halfwidth"),
        top_coverage=_average(tasks, "top_coverage"),
        top_coverage_worst=_number(min(_of_tasks(tasks, "top_coverage"), default=np.nan)),
        top_bias=top_bias,
        top_bias_share=top_bias / top_mean if top_bias is not None and top_mean else None,
        domain_coverage=_average(tasks, "domain_coverage"),
        domain_coverage_worst=_lowest(_of_tasks(tasks, "domain_coverage")),
        domain_halfwidth=_median(tasks, "domain_halfwidth"),
        unlike_share=_average(tasks, "unlike"),
        seconds_per_task=_number(np.median([np.median(task.scores["seconds"]) for task in tasks])),
        draws=draws,
        tasks=tuple(_task_figures(task, squared) for task in tasks),
    )


def _task_figures(task: TaskScores, all_squared: float) -> TaskFigures:
    return TaskFigures(
        task=task.task_id,
        rel=float(np.sqrt((sum(task.squared) + LEAST_SQUARE) / (sum(task.squared_mean) + LEAST_SQUARE))),
        squared_error_share=_number(sum(task.squared) / max(all_squared, 1e-300)),
        rmse=_number(np.sqrt(sum(task.squared) / max(sum(task.n_scored), 1))),
        recall_5pct=_number(task.mean("recall_5pct")),
        spearman=_number(task.mean("spearman")),
        coverage=_number(task.mean("coverage")),
        top_coverage=_number(task.mean("top_coverage")),
        top_bias=_number(task.mean("top_bias")),
        domain_coverage=_number(task.mean("domain_coverage")),
        unlike_share=_number(task.mean("unlike")),
    )


def paired_figures(scores: Mapping[str, list[TaskScores]], default: str, seed: int) -> dict[str, PairedRatio]:
    """Geometric mean over tasks of the default's error over each other method's, on the same cells and draws."""
    paired: dict[str, PairedRatio] = {}
    for method, tasks in scores.items():
        if method != default:
            own, other = _by_draw(scores[default], "squared"), _by_draw(tasks, "squared")
            # The first of both: draws come in order, and some methods have fewer.
            shared = min(own.shape[1], other.shape[1])
            paired[method] = PairedRatio(*error_ratio_interval(own[:, :shared], other[:, :shared], seed))
    return paired


def _by_draw(tasks: Sequence[TaskScores], name: str) -> Floats:
    """(T, D)"""
    return np.array([task.by_draw(getattr(task, name)) for task in tasks])


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
    cells, mean = np.flatnonzero(observed), float(truth[observed].mean())
    row_mean = forecast.mean_of(cells)
    by_probes = forecast.mean_interval(None if cells.size == truth.size else cells)
    return {
        "coverage": coverage(forecast.low[scored], forecast.high[scored], truth[scored]),
        "row_mean_covered": _covers(row_mean, mean),
        "row_mean_halfwidth": _half_width(row_mean),
        "mean_interval_covered": _covers(by_probes, mean),
        "mean_interval_halfwidth": _half_width(by_probes),
        "unlike": float("nan") if forecast.unlike_known is None else float(forecast.unlike_known),
    }


def _top_scores(forecast: RowForecast, truth: Floats, scored: Mask) -> dict[str, float]:
    cells = np.flatnonzero(scored)
    top = cells[np.argsort(-forecast.mean[cells], kind="stable")[: max(1, round(TOP_SHARE * cells.size))]]
    return {
        "top_coverage": coverage(forecast.low[top], forecast.high[top], truth[top]),
        "top_bias": float(np.mean(truth[top] - forecast.mean[top])),
        "top_mean": float(np.mean(forecast.mean[top])),
    }


def _domain_scores(
    forecast: RowForecast, truth: Floats, observed: Mask, domains: Mapping[str, Indices]
) -> dict[str, float]:
    """Of the means of domains over their observed cells; a domain that was measured whole is no forecast."""
    seen = {name: positions[observed[positions]] for name, positions in domains.items()}
    seen = {name: cells for name, cells in seen.items() if not forecast.measured[cells].all()}
    if not seen:
        return {}
    averages = forecast.summary(seen)
    covered = [_covers(averages[name], float(truth[cells].mean())) for name, cells in seen.items()]
    half_widths = [_half_width(average) for average in averages.values()]
    return {"domain_coverage": float(np.mean(covered)), "domain_halfwidth": float(np.median(half_widths))}


def _covers(interval: Interval | None, value: float) -> float:
    return float("nan") if interval is None else float(interval.low <= value <= interval.high)


def _half_width(interval: Interval | None) -> float:
    return float("nan") if interval is None else (interval.high - interval.low) / 2


def _usual_share(covered: Floats) -> float | None:
    """Share of tasks whose coverage is as it should be; None for a method without intervals."""
    usual = (covered >= USUAL_COVERAGE[0]) & (covered <= USUAL_COVERAGE[1])
    return float(usual.mean()) if usual.size else None


def _worst_domain(tasks: Sequence[TaskScores]) -> float | None:
    """Coverage of the scored cells in the domain with the least, every task weighing the same."""
    names = {name for task in tasks for name in task.by_domain}
    found = [np.mean([np.mean(task.by_domain[name]) for task in tasks if name in task.by_domain]) for name in names]
    return _number(min(found)) if found else None


def _lowest(of_tasks: Floats) -> float | None:
    """Mean over the lowest tenth of the tasks, at least one."""
    return _number(np.sort(of_tasks)[: max(1, round(LOWEST_TASKS * of_tasks.size))].mean()) if of_tasks.size else None


def _row_mean_interval(tasks: list[TaskScores]) -> tuple[float, float] | None:
    """Exact 90% interval of the row mean's coverage, the tasks being what is sampled; None without intervals."""
    covered = _of_tasks(tasks, "row_mean_covered")
    return binomial_interval(round(float(covered.sum())), covered.size) if covered.size else None


def _of_tasks(tasks: Sequence[TaskScores], name: str) -> Floats:
    """Of the tasks that have it: none with a method without intervals, and not one with a cell or two."""
    values = np.array([task.mean(name) for task in tasks])
    return np.asarray(values[~np.isnan(values)])


def _average(tasks: list[TaskScores], name: str) -> float | None:
    values = _of_tasks(tasks, name)
    return _number(values.mean()) if values.size else None


def _median(tasks: list[TaskScores], name: str) -> float | None:
    values = _of_tasks(tasks, name)
    return _number(np.median(values)) if values.size else None


def _pooled(tasks: list[TaskScores], name: str) -> float | None:
    squares = np.square([task.root_mean_square(name) for task in tasks])
    squares = squares[~np.isnan(squares)]
    return _number(np.sqrt(squares.mean())) if squares.size else None


def _number(value: Any) -> float | None:
    """A float that JSON can carry."""
    return float(value) if np.isfinite(value) else None
