"""Forecast rows whose truth is known, from a few of their cells, and say how far off it was.

Scored cells: two folds; probes are chosen only among even positions and scored on odd ones, then the reverse, so that
no method gains by measuring the noisiest cells.

Notation
    S  number of probes      draws  how often the probes of a task are drawn anew
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetcast.completion.fitted import BASELINES, DEFAULT_METHOD, METHODS, Fitted
from forgetcast.completion.fitting import fit
from forgetcast.completion.matrix import ForgettingMatrix
from forgetcast.completion.probes import Design, design_probes
from forgetcast.completion.scores import TaskScores, method_figures, paired_figures
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod

TIMED_TOP = 100  # seconds_per_task: fold-in, intervals and this many highest


@dataclass(frozen=True, eq=False)
class Split:
    """Probes of one forecast, those of them drawn at random, and the cells it is scored on."""

    probes: Indices
    at_random: Indices
    scored: Mask


def backtest(
    matrix: ForgettingMatrix,
    *,
    train: Sequence[int] | None = None,
    test: Sequence[int] | None = None,
    n_probes: int = 30,
    design: str = Design.MIXED,
    methods: Sequence[str] = METHODS,
    draws: int = 5,
    level: float = 0.9,
    seed: int = 0,
) -> dict[str, Any]:
    """Back-test methods on held-out rows.

    Parameters
    ----------
    train, test : rows; without ``train`` each test row is left out in turn and all others are known, without
        ``test`` every row that is not in ``train`` is forecast
    n_probes : S; a row with fewer observed cells in a fold gives half of them
    design : ``mixed``, ``optimal`` or ``random``; the baselines always get random probes
    draws : how often each task's probes are drawn

    Returns
    -------
    JSON-ready dict: ``default``, ``design``, ``n_probes``, ``level``, ``draws``, ``seed``, ``methods`` (name -> figures
    and ``tasks``, a list of per-task figures), ``paired`` (name -> ratio of the default's error to that method's, with
    its 90% interval). Errors in nats per token; a figure that cannot be formed is None.

    Raises
    ------
    TooFewRows, UnknownMethod, OutOfRange
    """
    _check(matrix, train, test, n_probes, design, methods, draws)
    scores: dict[str, list[TaskScores]] = {method: [] for method in methods}
    shared = None if train is None else matrix.with_tasks(train)
    fitted = {} if shared is None else {method: fit(shared, method, seed) for method in methods}
    for row in _test_rows(matrix, train, test):
        known = shared if shared is not None else matrix.without_tasks([row])
        column_mean = _column_mean(known)
        for method in methods:
            model = fitted[method] if shared is not None else fit(known, method, seed)
            own_design = Design.RANDOM if method in BASELINES else design
            splits = _splits(matrix, row, n_probes, draws, seed, own_design, model)
            scores[method].append(_score_task(matrix, row, model, column_mean, splits, level))
    default = DEFAULT_METHOD if DEFAULT_METHOD in methods else methods[0]
    return {
        "default": default,
        "design": design,
        "n_probes": n_probes,
        "level": level,
        "draws": draws,
        "seed": seed,
        "methods": {method: method_figures(tasks, seed) for method, tasks in scores.items()},
        "paired": paired_figures(scores, default, seed),
    }


def _check(
    matrix: ForgettingMatrix,
    train: Sequence[int] | None,
    test: Sequence[int] | None,
    n_probes: int,
    design: str,
    methods: Sequence[str],
    draws: int,
) -> None:
    if matrix.n_tasks < 3:
        raise TooFewRows(f"A back-test needs at least three known rows, there are {matrix.n_tasks}.")
    if design not in set(Design):
        raise UnknownMethod(f"No probe design is called {design!r}; there are {', '.join(Design)}.")
    for method in methods:
        if method not in METHODS:
            raise UnknownMethod(f"No completion method is called {method!r}; there are {', '.join(METHODS)}.")
    if n_probes < 0 or draws < 1 or not methods:
        raise OutOfRange("A back-test needs one method and one draw at least, and no negative number of probes.")
    rows = [*(train or ()), *(test or ())]
    if any(not 0 <= row < matrix.n_tasks for row in rows):
        raise OutOfRange(f"Rows run from 0 to {matrix.n_tasks - 1}.")
    if train is not None and (set(train) & set(test or ()) or not _test_rows(matrix, train, test)):
        raise OutOfRange("Training and test rows must be apart, and there must be a test row.")


def _test_rows(matrix: ForgettingMatrix, train: Sequence[int] | None, test: Sequence[int] | None) -> list[int]:
    if test is not None:
        return list(test)
    return [row for row in range(matrix.n_tasks) if row not in set(train or ())]


def _column_mean(known: ForgettingMatrix) -> Floats:
    """Mean of every training column; the grand mean where a column has no observed cell. (N,)"""
    filled, count = known.filled(), known.observed.sum(axis=0)
    mean: Floats = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), filled.sum() / count.sum())
    return mean


def _splits(
    matrix: ForgettingMatrix, row: int, n_probes: int, draws: int, seed: int, design: str, fitted: Fitted
) -> list[Split]:
    """Probes and scored cells of every draw and fold. Random probes are the task's own; designed ones the matrix's."""
    observed = matrix.observed[row]
    even = np.arange(matrix.n_examples) % 2 == 0
    splits: list[Split] = []
    for draw in range(draws):
        for fold, half in enumerate((even, ~even)):
            pool = observed & half
            own = row if design == Design.RANDOM else 0
            probe_seed = ((seed * 1_000_003 + own) * 1_009 + draw) * 2 + fold
            size = min(n_probes, int(pool.sum()))
            probes = design_probes(fitted.spread, size, design=design, seed=probe_seed, eligible=pool)
            if (observed & ~half).any():
                splits.append(Split(probes.positions, probes.positions[probes.at_random], observed & ~half))
    return splits


def _score_task(
    matrix: ForgettingMatrix, row: int, fitted: Fitted, column_mean: Floats, splits: list[Split], level: float
) -> TaskScores:
    task = TaskScores(matrix.task_ids[row])
    truth, observed = matrix.forgetting[row], matrix.observed[row]
    for split in splits:
        start = time.perf_counter()
        forecast = fitted.forecast(split.probes, truth[split.probes], level=level, random_probes=split.at_random)
        forecast.top(TIMED_TOP)
        seconds = time.perf_counter() - start
        task.add(forecast, truth, observed, split.scored, column_mean, seconds)
    return task
