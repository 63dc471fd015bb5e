"""Forecast known rows from a few of their cells, as if they were new, and say how far off that was.

Notation
    S  number of probes      draws  how often the probes of a task are drawn anew
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from forgetcast.completion.arguments import floats_of, level_of_intervals, whole_number
from forgetcast.completion.fit_method import fit
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.methods.fitted_method import FittedMethod
from forgetcast.completion.methods.refit_per_task import REFIT_PER_TASK, PointForecast, RefitPerTask
from forgetcast.completion.methods.registry import DEFAULT_METHOD, METHODS
from forgetcast.completion.reports.backtest_report import BacktestReport
from forgetcast.completion.reports.probe_folds import Fold, ProbeFolds
from forgetcast.completion.reports.replay_scores import replay_figures
from forgetcast.completion.reports.scores import TaskScores, method_figures, paired_figures
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.selection.probes import Design, ProbeSet
from forgetcast.completion.types import Floats
from forgetcast.completion.validation import splits
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod, WrongKind, WrongShape

ALL_METHODS = (*METHODS, *REFIT_PER_TASK)
TIMED_TOP = 100  # seconds_per_task: fold-in, intervals and this many highest
REFITTED_DRAWS = 2  # of the methods that are fitted anew for every forecast
MOST_FITS = 10  # of one method, where no training rows are named


class LeaveOut(StrEnum):
    FAMILIES = "families"
    TASKS = "tasks"


@dataclass(frozen=True)
class _Run:
    """What holds for every forecast of a back-test."""

    matrix: ForgettingMatrix
    methods: Sequence[str]
    n_probes: int
    design: str
    draws: int
    level: float
    seed: int
    base: Floats | None = None


def backtest(
    matrix: ForgettingMatrix,
    *,
    train: Sequence[int] | None = None,
    test: Sequence[int] | None = None,
    leave_out: str | None = None,
    n_probes: int = 30,
    design: str = Design.MIXED,
    methods: Sequence[str] = ALL_METHODS,
    draws: int = 5,
    level: float = 0.9,
    seed: int = 0,
    base: Floats | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> BacktestReport:
    """Back-test methods on rows that they have not seen.

    Parameters
    ----------
    train, test : distinct rows; without ``train`` the test rows are left out in turn, several groups together where
        there are more than ten, and all others are known; without ``test`` every row that is not in ``train`` is
        forecast
    leave_out : ``families`` or ``tasks``; without it families where they are known, and single tasks beside them
    n_probes : S; a row with fewer observed cells in a fold gives all of them
    design : ``mixed``, ``optimal`` or ``random``; the baselines always get random probes
    methods : ``knn`` and ``mf``, which are fitted anew for every forecast, give no interval and get at most two draws
    draws : how often each task's probes are drawn
    base : (N,) floats, log-perplexity before fine-tuning, a baseline of what to replay; NaN or infinity leaves it out
    on_progress : told how many of how many pairs of a row and a method are done

    Raises
    ------
    TooFewRows, UnknownMethod, OutOfRange, WrongKind, WrongShape
    """
    train, test = _rows(train), _rows(test)
    _check(matrix, train, test, n_probes, design, methods, draws, level, seed)
    rows = test if test is not None else [row for row in range(matrix.n_tasks) if row not in set(train or ())]
    run = _Run(matrix, methods, n_probes, design, draws, level, seed, _base(base, matrix))
    left_out = _left_out(matrix, train, leave_out)
    also_alone = left_out == LeaveOut.FAMILIES and leave_out is None
    done, in_all = 0, len(rows) * len(methods) * (2 if also_alone else 1)

    def tell() -> None:
        nonlocal done
        done += 1
        if on_progress is not None:
            on_progress(done, in_all)

    scores, most_probes = _scores(run, rows, _rounds(matrix, rows, train, left_out), tell)
    alone = _scores(run, rows, _rounds(matrix, rows, None, LeaveOut.TASKS), tell)[0] if also_alone else None
    default = DEFAULT_METHOD if DEFAULT_METHOD in methods else methods[0]
    return BacktestReport(
        default=default,
        left_out=left_out,
        design=design,
        n_probes=most_probes,
        level=level,
        draws=draws,
        seed=seed,
        methods={method: method_figures(tasks, _draws(method, draws), seed) for method, tasks in scores.items()},
        paired=paired_figures(scores, default, seed),
        tasks_alone=None
        if alone is None
        else {method: method_figures(tasks, _draws(method, draws), seed) for method, tasks in alone.items()},
        replay=replay_figures([task.replay for task in scores[default]], default, seed),
    )


def _base(base: Floats | None, matrix: ForgettingMatrix) -> Floats | None:
    if base is None:
        return None
    base = floats_of("Log-perplexity before", base)
    if base.shape != (matrix.n_examples,):
        raise WrongShape(f"Log-perplexity before has the shape {base.shape}; there are {matrix.n_examples} examples.")
    return base


def _left_out(matrix: ForgettingMatrix, train: list[int] | None, leave_out: str | None) -> str:
    """What is left out together; `rows` where training rows are named."""
    if leave_out is not None and leave_out not in set(LeaveOut):
        raise UnknownMethod(f"Rows are left out by {' or '.join(LeaveOut)}, not by {leave_out!r}.")
    if train is not None:
        return "rows"
    if leave_out == LeaveOut.FAMILIES and not splits.leaves_families_out(matrix):
        raise TooFewRows(f"Leaving families out needs {splits.FEWEST_GROUPS} of them at least; leave tasks out.")
    if leave_out is None:
        return LeaveOut.FAMILIES if splits.leaves_families_out(matrix) else LeaveOut.TASKS
    return leave_out


def _rounds(
    matrix: ForgettingMatrix, rows: list[int], train: list[int] | None, left_out: str
) -> list[tuple[list[int], ForgettingMatrix]]:
    """Rows to forecast and what is known of the others, for each of which every method is fitted once."""
    if train is not None:
        return [(rows, matrix.with_tasks(train))]
    groups = splits.families(matrix) if left_out == LeaveOut.FAMILIES else splits.tasks(matrix)
    wanted = set(rows)
    groups = [group for group in groups if wanted.intersection(group)]
    n_rounds = min(len(groups), MOST_FITS)
    together = [[row for group in groups[first::n_rounds] for row in group] for first in range(n_rounds)]
    return [([row for row in out if row in wanted], matrix.without_tasks(out)) for out in together]


def _scores(
    run: _Run, rows: list[int], rounds: list[tuple[list[int], ForgettingMatrix]], tell: Callable[[], None]
) -> tuple[dict[str, list[TaskScores]], int]:
    """Scores of every method, in order of the rows, and the most probes that a forecast had."""
    found: dict[str, dict[int, TaskScores]] = {method: {} for method in run.methods}
    most_probes = 0
    for forecast, known in rounds:
        means = column_mean(known)
        for method in run.methods:
            refitted = method in REFIT_PER_TASK
            model = RefitPerTask(method, known, run.seed) if refitted else fit(known, method, run.seed)
            folds = ProbeFolds(run.matrix, model, run.n_probes, run.design, run.seed)
            for row in forecast:
                draws = _draws(method, run.draws)
                chosen = folds.of(row, draws)
                most_probes = max([most_probes, *(fold.probes.positions.size for fold in chosen)])
                found[method][row] = _score_task(run, row, model, means, chosen, draws)
                tell()
    return {method: [tasks[row] for row in rows] for method, tasks in found.items()}, most_probes


def _check(
    matrix: ForgettingMatrix,
    train: Sequence[int] | None,
    test: Sequence[int] | None,
    n_probes: int,
    design: str,
    methods: Sequence[str],
    draws: int,
    level: float,
    seed: int,
) -> None:
    check_matrix(matrix)
    if matrix.n_tasks < 3:
        raise TooFewRows(f"A back-test needs at least three known rows, there are {matrix.n_tasks}.")
    if design not in set(Design):
        raise UnknownMethod(f"No probe design is called {design!r}; there are {', '.join(Design)}.")
    if isinstance(methods, str):
        raise WrongKind(f"The methods must be a list of names, not the text {methods!r}.")
    for method in methods:
        if method not in ALL_METHODS:
            raise UnknownMethod(f"No completion method is called {method!r}; there are {', '.join(ALL_METHODS)}.")
    if not methods:
        raise OutOfRange("A back-test needs one method at least.")
    for name, number, least in (("number of probes", n_probes, 0), ("number of draws", draws, 1), ("seed", seed, 0)):
        whole_number(f"The {name}", number, at_least=least)
    level_of_intervals(level)
    named = [*(train or ()), *(test or ())]
    if any(row >= matrix.n_tasks for row in named):
        raise OutOfRange(f"Rows run from 0 to {matrix.n_tasks - 1}.")
    if len(set(named)) < len(named):
        raise OutOfRange("Training and test rows must be apart, and none may be named twice.")
    tested = test if test is not None else set(range(matrix.n_tasks)) - set(train or ())
    if (train is not None and not train) or not tested:
        raise OutOfRange("There must be a training row and a test row.")


def _rows(given: Iterable[int] | None) -> list[int] | None:
    return None if given is None else [whole_number("A row", row) for row in given]


def _draws(method: str, draws: int) -> int:
    return min(draws, REFITTED_DRAWS) if method in REFIT_PER_TASK else draws


def column_mean(known: ForgettingMatrix) -> Floats:
    """Mean of every training column; the grand mean where a column has no observed cell. (N,)"""
    filled, count = known.filled(), known.observed.sum(axis=0)
    mean: Floats = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), filled.sum() / count.sum())
    return mean


def _score_task(
    run: _Run, row: int, model: FittedMethod | RefitPerTask, means: Floats, folds: list[Fold], draws: int
) -> TaskScores:
    task = TaskScores(run.matrix.task_ids[row], draws)
    truth, observed = run.matrix.row(row), run.matrix.observed[row]
    domains = run.matrix.domain_positions()
    for fold in folds:
        start = time.perf_counter()
        forecast = _forecast(model, fold.probes, truth[fold.probes.positions], run.level)
        seconds = time.perf_counter() - start
        task.add(forecast, truth, observed, fold.scored, means, domains, seconds, run.base)
    return task


def _forecast(
    model: FittedMethod | RefitPerTask, probes: ProbeSet, forgetting: Floats, level: float
) -> RowForecast | PointForecast:
    """What is timed: the completed row, its intervals where there are some, and the highest of it."""
    if isinstance(model, RefitPerTask):
        return model.forecast(probes.positions, forgetting)
    forecast = model.forecast(
        probes.positions, forgetting, level=level, random_probes=probes.positions[probes.at_random]
    )
    forecast.top(TIMED_TOP)
    return forecast
