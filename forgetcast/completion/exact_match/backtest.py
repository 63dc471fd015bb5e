"""Forecast which examples known rows lost from a few of their cells, as if they were new.

Two folds: probes are drawn among even positions and scored on odd ones, then the reverse.

Notation
    S  number of probes, drawn at random      draws  how often the probes of a task are drawn anew
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from forgetcast.completion.arguments import whole_number
from forgetcast.completion.draws import Draws
from forgetcast.completion.exact_match.backtest_report import ExactMatchFigures, ExactMatchReport, PairedDifference
from forgetcast.completion.exact_match.fit_exact_match import fit_exact_match, left_out_groups
from forgetcast.completion.exact_match.gradient_descent import REFITTED
from forgetcast.completion.exact_match.lost_cells import check_lost
from forgetcast.completion.exact_match.methods import EXACT_MATCH_METHODS, LOGISTIC
from forgetcast.completion.exact_match.scores import (
    auc,
    calibration_error,
    f1,
    log_score,
    reliability,
    top_precision,
)
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.selection.probes import random_probes
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.validation import splits
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod, WrongKind

ALL_EXACT_MATCH_METHODS = (*EXACT_MATCH_METHODS, *REFITTED)
MOST_FITS = 14  # of one method
REFITTED_DRAWS = 1  # of the methods that are fitted anew
RESAMPLES = 2000
LEVEL = 0.9


@dataclass
class _Told:
    """What one method told of scored cells. Lists have one entry a forecast: of a task, a draw and a fold."""

    group: list[int] = field(default_factory=list)
    round: list[int] = field(default_factory=list)
    task: list[int] = field(default_factory=list)
    probability: list[Floats] = field(default_factory=list)
    lost: list[Floats] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def by_task(self, score: Callable[[Floats, Floats], float], rounds: int | None = None) -> dict[int, float]:
        """A score of every task, the mean over its draws and folds, or the first of them; NaN where none has one."""
        found: dict[int, list[float]] = {}
        for task, place, probability, lost in zip(self.task, self.round, self.probability, self.lost, strict=True):
            if rounds is None or place < rounds:
                found.setdefault(task, []).append(score(probability, lost))
        return {task: _mean(values) for task, values in found.items()}


@dataclass(frozen=True, eq=False)
class _Group:
    """Rows that are left out together: what is known of the others, and their forecasts by draw and fold."""

    number: int
    matrix: ForgettingMatrix
    known: ForgettingMatrix
    rounds: list[list[_Forecast]]
    seed: int


@dataclass(frozen=True, eq=False)
class _Forecast:
    """Probes and scored cells of one draw and fold of a row."""

    row: int
    probes: Indices
    scored: Indices


def backtest_exact_match(
    matrix: ForgettingMatrix,
    *,
    n_probes: int = 30,
    methods: Sequence[str] = ALL_EXACT_MATCH_METHODS,
    draws: int = 3,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> ExactMatchReport:
    """Back-test methods on rows they have not seen: families left out where they are known, else tasks.

    Parameters
    ----------
    n_probes : S, at most half of a row
    methods : of ``logistic``, ``additive``, ``popularity``, and ``paper_logistic``, ``paper_additive``, which are
        fitted anew for the rows of every fold and get one draw
    on_progress : told how many of how many pairs of a fit and a method are done

    Raises
    ------
    TooFewRows, UnknownMethod, OutOfRange, WrongKind
    """
    _check(matrix, n_probes, methods, draws, seed)
    groups = left_out_groups(matrix, MOST_FITS)
    told = {method: _Told() for method in methods}
    for number, group in enumerate(groups):
        known = matrix.without_tasks(group)
        for place, method in enumerate(methods):
            refitted = method in REFITTED
            rounds = _rounds(matrix, group, n_probes, min(draws, REFITTED_DRAWS) if refitted else draws, seed)
            (_refit if refitted else _fold_in)(told[method], method, _Group(number, matrix, known, rounds, seed))
            if on_progress is not None:
                on_progress(number * len(methods) + place + 1, len(groups) * len(methods))
    default = LOGISTIC.name if LOGISTIC.name in methods else methods[0]
    return ExactMatchReport(
        default=default,
        left_out="families" if splits.leaves_families_out(matrix) else "tasks",
        n_tasks=matrix.n_tasks,
        n_examples=matrix.n_examples,
        lost_share=float(matrix.filled().sum() / matrix.observed.sum()),
        n_probes=n_probes,
        methods={
            name: _figures(found, min(draws, REFITTED_DRAWS) if name in REFITTED else draws)
            for name, found in told.items()
        },
        paired={name: _paired(told[default], found, seed) for name, found in told.items() if name != default},
    )


def _check(matrix: ForgettingMatrix, n_probes: int, methods: Sequence[str], draws: int, seed: int) -> None:
    check_lost(matrix)
    if len(splits.left_out_together(matrix)) < 3:
        raise TooFewRows(f"A back-test needs at least three known rows, there are {matrix.n_tasks}.")
    if isinstance(methods, str):
        raise WrongKind(f"The methods must be a list of names, not the text {methods!r}.")
    for method in methods:
        if method not in ALL_EXACT_MATCH_METHODS:
            raise UnknownMethod(
                f"No method for exact matches is called {method!r}; there are {', '.join(ALL_EXACT_MATCH_METHODS)}."
            )
    if not methods:
        raise OutOfRange("A back-test needs one method at least.")
    for name, number, least in (("number of probes", n_probes, 0), ("number of draws", draws, 1), ("seed", seed, 0)):
        whole_number(f"The {name}", number, at_least=least)


def _rounds(matrix: ForgettingMatrix, group: list[int], n_probes: int, draws: int, seed: int) -> list[list[_Forecast]]:
    """Forecasts of the rows of a group, those of one draw and fold together; rows without a cell to score left out."""
    even = np.arange(matrix.n_examples) % 2 == 0
    return [
        [
            _Forecast(row, _probes(matrix, row, half, n_probes, 2 * draw + fold, seed), np.flatnonzero(scored))
            for row in group
            if (scored := matrix.observed[row] & ~half).any()
        ]
        for draw in range(draws)
        for fold, half in enumerate((even, ~even))
    ]


def _probes(matrix: ForgettingMatrix, row: int, half: Mask, n_probes: int, draw: int, seed: int) -> Indices:
    pool = matrix.observed[row] & half
    own = (seed * 1_000_003 + row) * 1_009 + draw
    return random_probes(pool.size, min(n_probes, int(pool.sum())), own, eligible=pool)


def _fold_in(told: _Told, method: str, group: _Group) -> None:
    """A method that is fitted once to the known rows."""
    fitted = fit_exact_match(group.known, method, group.seed)
    for place, together in enumerate(group.rounds):
        for each in together:
            measured = group.matrix.row(each.row)[each.probes]
            start = time.process_time()
            probability = fitted.forecast(each.probes, measured).probability
            _add(told, group, place, each, probability, time.process_time() - start)


def _refit(told: _Told, method: str, group: _Group) -> None:
    """A method that is fitted to the known rows and the probes of all rows of a draw and fold."""
    known, n = group.known, group.matrix.n_examples
    for place, together in enumerate(group.rounds):
        lost = np.concatenate([known.filled(), np.zeros((len(together), n))])
        seen = np.concatenate([known.observed, np.zeros((len(together), n), dtype=np.bool_)])
        for row, each in enumerate(together, start=known.n_tasks):
            lost[row, each.probes], seen[row, each.probes] = group.matrix.row(each.row)[each.probes], True
        start = time.process_time()
        found = REFITTED[method](lost, seen)
        seconds = (time.process_time() - start) / max(1, len(together))
        for row, each in enumerate(together, start=known.n_tasks):
            _add(told, group, place, each, found[row], seconds)


def _add(told: _Told, group: _Group, place: int, each: _Forecast, probability: Floats, seconds: float) -> None:
    told.group.append(group.number)
    told.round.append(place)
    told.task.append(each.row)
    told.probability.append(probability[each.scored])
    told.lost.append(group.matrix.row(each.row)[each.scored])
    told.seconds.append(seconds)


def _figures(told: _Told, draws: int) -> ExactMatchFigures:
    probability, lost = np.concatenate(told.probability), np.concatenate(told.lost)
    bins = reliability(probability, lost)

    def over_tasks(score: Callable[[Floats, Floats], float]) -> float:
        return _mean(list(told.by_task(score).values()))

    return ExactMatchFigures(
        f1=_number(f1(probability, lost)),
        f1_kept=_number(f1(1.0 - probability, 1.0 - lost)),
        f1_tasks=_number(over_tasks(f1)),
        auc=_number(over_tasks(auc)),
        log_score=over_tasks(log_score),
        brier=over_tasks(lambda p, y: float(np.mean((p - y) ** 2))),
        top_precision=over_tasks(top_precision),
        calibration_error=calibration_error(bins),
        reliability=bins,
        seconds=float(np.mean(told.seconds)),
        draws=draws,
    )


def _paired(default: _Told, other: _Told, seed: int) -> PairedDifference:
    """Difference of the mean log score over tasks; groups that were left out together are resampled."""
    group_of = dict(zip(default.task, default.group, strict=True))
    both = min(max(default.round), max(other.round)) + 1
    own, others = default.by_task(log_score, both), other.by_task(log_score, both)
    n_groups = max(group_of.values()) + 1
    sums, counts = np.zeros(n_groups), np.zeros(n_groups)
    for task, value in own.items():
        sums[group_of[task]] += value - others[task]
        counts[group_of[task]] += 1
    drawn = Draws(seed).integers(RESAMPLES * n_groups, n_groups).reshape(RESAMPLES, n_groups)
    means = sums[drawn].sum(axis=1) / np.maximum(counts[drawn].sum(axis=1), 1)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return PairedDifference(float(sums.sum() / counts.sum()), float(low), float(high))


def _mean(values: list[float]) -> float:
    there = [value for value in values if not np.isnan(value)]
    return float(np.mean(there)) if there else float("nan")


def _number(value: float) -> float | None:
    return None if np.isnan(value) else value
