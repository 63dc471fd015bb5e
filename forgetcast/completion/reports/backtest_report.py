"""What a back-test found, as data: the same shape in Python, on the wire and in the command line's `--json`.

Errors in nats per token; a figure that cannot be formed is None. Scored cells are those that could not be probed; the
5% highest forecasts are taken among them.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class TaskFigures:
    """One method on one task, the mean over draws.

    rel : RMSE over that of the known rows' mean      squared_error_share : of all tasks' squared error
    recall_5pct, spearman : of the whole row          coverage : share of scored cells inside their intervals
    top_coverage, top_bias : of the 5% highest forecasts; bias is true minus printed
    domain_coverage : share of the domains whose mean lies inside its interval
    unlike_share : of draws in which the task was called unlike the known ones
    """

    task: str
    rel: float
    squared_error_share: float | None
    rmse: float | None
    recall_5pct: float | None
    spearman: float | None
    coverage: float | None
    top_coverage: float | None
    top_bias: float | None
    domain_coverage: float | None
    unlike_share: float | None


@dataclass(frozen=True)
class MethodFigures:
    """One method over all tasks, every task weighing the same.

    rel, rel_low, rel_high : geometric mean over tasks of RMSE over that of the known rows' mean, with its 90% interval
        over tasks and draws of the probes; two draws or three say roughly how these differ, and one says nothing
    rmse_common, recall_common : of scored cells      rmse_unprobed, rmse_row, recall_5pct, spearman : of whole rows
    coverage_mean : share of scored cells inside their intervals
    coverage_tasks : share of tasks for which that lies in 0.80 to 0.97
    coverage_worst_domain : the same of the domain with the least
    row_mean_error, row_mean_coverage, row_mean_coverage_interval, row_mean_halfwidth : of the mean of the row
    mean_interval_coverage, mean_interval_halfwidth : of the mean by the random probes, right whatever the model gets
        wrong
    top_coverage, top_coverage_worst : of the 5% highest forecasts; that of the task with the least
    top_bias, top_bias_share : mean of true minus printed among them, and over the mean that is printed
    domain_coverage, domain_halfwidth : of the means of domains; None without domains
    domain_coverage_worst : of the lowest tenth of the tasks
    unlike_share : of forecasts that were called unlike the known rows
    """

    rel: float
    rel_low: float
    rel_high: float
    rmse_common: float | None
    recall_common: float | None
    rmse_unprobed: float | None
    rmse_row: float | None
    recall_5pct: float | None
    spearman: float | None
    coverage_mean: float | None
    coverage_tasks: float | None
    coverage_worst_domain: float | None
    row_mean_error: float | None
    row_mean_coverage: float | None
    row_mean_coverage_interval: tuple[float, float] | None
    row_mean_halfwidth: float | None
    mean_interval_coverage: float | None
    mean_interval_halfwidth: float | None
    top_coverage: float | None
    top_coverage_worst: float | None
    top_bias: float | None
    top_bias_share: float | None
    domain_coverage: float | None
    domain_coverage_worst: float | None
    domain_halfwidth: float | None
    unlike_share: float | None
    seconds_per_task: float | None
    draws: int
    tasks: tuple[TaskFigures, ...]


@dataclass(frozen=True)
class PairedRatio:
    """The default's error over another method's on the same cells, with its 90% interval over tasks and draws."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True)
class Covered:
    """Forgetting of the examples that were chosen over that of as many forgotten most; mean over tasks, 90% interval.

    1 is the best choice. With a baseline taken off it, the difference, paired by task.
    """

    mean: float
    low: float
    high: float


@dataclass(frozen=True)
class ReplayShare:
    """What replaying a share of the examples would cover, chosen in different ways among cells that were not probed.

    n_tasks : those in which anything is forgotten
    base : highest log-perplexity before fine-tuning first; None where it is not known
    over_popularity, over_random : what the forecast covers more, task by task
    by_task : covered by the forecast, in order of the method's tasks; None where nothing is forgotten
    """

    share: float
    n_tasks: int
    forecast: Covered | None
    popularity: Covered | None
    base: Covered | None
    random: Covered | None
    over_popularity: Covered | None
    over_random: Covered | None
    by_task: tuple[float | None, ...]


@dataclass(frozen=True)
class ReplayFigures:
    """The decision that a forecast is made for: which examples to replay. `method` is that of the forecasts."""

    method: str
    shares: tuple[ReplayShare, ...]
    n_tasks: int


@dataclass(frozen=True)
class BacktestReport:
    """All methods.

    default : the method that the others are compared with
    left_out : `families` or `tasks`, what was left out together; `rows` where training rows were named
    n_probes : the most that a forecast had
    paired : by method, without the default
    tasks_alone : figures of every method with single tasks left out, where families are known and were left out
    replay : what the default's forecasts are worth as a choice of what to replay; None of reports from before
    """

    default: str
    left_out: str
    design: str
    n_probes: int
    level: float
    draws: int
    seed: int
    methods: dict[str, MethodFigures]
    paired: dict[str, PairedRatio]
    tasks_alone: dict[str, MethodFigures] | None
    replay: ReplayFigures | None = None
