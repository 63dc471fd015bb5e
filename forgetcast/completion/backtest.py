"""Forecast rows whose truth is known, from a few of their cells, and say how far off it was.

Scored cells: two folds; probes are chosen only among even positions and scored on odd ones, then the reverse, so that
no method gains by measuring the noisiest cells.

Notation
    S  number of probes      draws  how often the probes of a task are drawn anew
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetcast.completion.arguments import level_of_intervals, whole_number
from forgetcast.completion.fitted import BASELINES, DEFAULT_METHOD, METHODS, Fitted
from forgetcast.completion.fitting import fit
from forgetcast.completion.matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.probes import Design, ProbeSet, design_probes, random_probes
from forgetcast.completion.refitted import REFITTED, PointForecast, Refitted
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.scores import TaskScores, method_figures, paired_figures
from forgetcast.completion.types import Floats, Mask
from forgetcast.errors import OutOfRange, TooFewRows, UnknownMethod, WrongKind

ALL_METHODS = (*METHODS, *REFITTED)
TIMED_TOP = 100  # seconds_per_task: fold-in, intervals and this many highest
REFITTED_DRAWS = 2  # of the methods that are fitted anew for every forecast
MOST_FITS = 10  # of one method, where no training rows are named


@dataclass(frozen=True, eq=False)
class Split:
    """Probes of one forecast, and the cells it is scored on."""

    probes: ProbeSet
    scored: Mask


def backtest(
    matrix: ForgettingMatrix,
    *,
    train: Sequence[int] | None = None,
    test: Sequence[int] | None = None,
    n_probes: int = 30,
    design: str = Design.MIXED,
    methods: Sequence[str] = ALL_METHODS,
    draws: int = 5,
    level: float = 0.9,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, Any]:
    """Back-test methods on held-out rows.

    Parameters
    ----------
    train, test : distinct rows; without ``train`` the test rows are left out in turn, several together where there
        are more than ten, and all others are known; without ``test`` every row that is not in ``train`` is forecast
    n_probes : S; a row with fewer observed cells in a fold gives all of them
    design : ``mixed``, ``optimal`` or ``random``; the baselines always get random probes
    methods : ``knn`` and ``mf``, which are fitted anew for every forecast, give no interval and get at most two draws
    draws : how often each task's probes are drawn
    on_progress : told how many of how many pairs of a row and a method are done

    Returns
    -------
    JSON-ready dict: ``default``, ``design``, ``n_probes`` (the most that a forecast had), ``level``, ``draws``,
    ``seed``, ``methods`` (name -> figures and ``tasks``, a list of per-task figures), ``paired`` (name -> ratio of the
    default's error to that method's over the draws that both have, with its 90% interval). Errors in nats per token;
    what cannot be formed is None.

    Raises
    ------
    TooFewRows, UnknownMethod, OutOfRange, WrongKind
    """
    train, test = _rows(train), _rows(test)
    _check(matrix, train, test, n_probes, design, methods, draws, level, seed)
    rows = _test_rows(matrix, train, test)
    found: dict[str, dict[int, TaskScores]] = {method: {} for method in methods}
    most_probes = 0
    for left_out in [rows] if train is not None else _left_out_together(rows):
        known = matrix.with_tasks(train) if train is not None else matrix.without_tasks(left_out)
        means = column_mean(known)
        for method in methods:
            model = Refitted(method, known, seed) if method in REFITTED else fit(known, method, seed)
            splits = Splits(matrix, model, n_probes, design, seed)
            for row in left_out:
                chosen = splits.of(row, _draws(method, draws))
                most_probes = max([most_probes, *(split.probes.positions.size for split in chosen)])
                found[method][row] = _score_task(matrix, row, model, means, chosen, level)
                if on_progress is not None:
                    on_progress(sum(map(len, found.values())), len(rows) * len(found))
    scores = {method: [tasks[row] for row in rows] for method, tasks in found.items()}
    default = DEFAULT_METHOD if DEFAULT_METHOD in methods else methods[0]
    return {
        "default": default,
        "design": design,
        "n_probes": most_probes,
        "level": level,
        "draws": draws,
        "seed": seed,
        "methods": {method: method_figures(tasks, _draws(method, draws), seed) for method, tasks in scores.items()},
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
    if (train is not None and not train) or not _test_rows(matrix, train, test):
        raise OutOfRange("There must be a training row and a test row.")


def _rows(given: Iterable[int] | None) -> list[int] | None:
    return None if given is None else [whole_number("A row", row) for row in given]


def _draws(method: str, draws: int) -> int:
    return min(draws, REFITTED_DRAWS) if method in REFITTED else draws


def _left_out_together(rows: list[int]) -> list[list[int]]:
    """Groups of rows for each of which every method is fitted once: single rows, unless there are too many."""
    n_groups = min(len(rows), MOST_FITS)
    return [rows[first::n_groups] for first in range(n_groups)]


def _test_rows(matrix: ForgettingMatrix, train: Sequence[int] | None, test: Sequence[int] | None) -> list[int]:
    if test is not None:
        return list(test)
    return [row for row in range(matrix.n_tasks) if row not in set(train or ())]


def column_mean(known: ForgettingMatrix) -> Floats:
    """Mean of every training column; the grand mean where a column has no observed cell. (N,)"""
    filled, count = known.filled(), known.observed.sum(axis=0)
    mean: Floats = np.where(count > 0, filled.sum(axis=0) / np.maximum(count, 1), filled.sum() / count.sum())
    return mean


class Splits:
    """Probes and scored cells of rows of one matrix. Random probes are the task's own; designed ones the matrix's."""

    def __init__(
        self, matrix: ForgettingMatrix, model: Fitted | Refitted, n_probes: int, design: str, seed: int
    ) -> None:
        self._matrix, self._model, self._n_probes, self._seed = matrix, model, n_probes, seed
        self._design = Design.RANDOM if model.method in (*BASELINES, *REFITTED) else design
        self._designed: dict[tuple[int, bytes], ProbeSet] = {}  # most rows have every cell, and then the same

    def of(self, row: int, draws: int) -> list[Split]:
        """The splits of a row, draw by draw, two folds each; a fold without a cell to score is left out."""
        observed = self._matrix.observed[row]
        even = np.arange(self._matrix.n_examples) % 2 == 0
        found: list[Split] = []
        for draw in range(draws):
            for fold, half in enumerate((even, ~even)):
                if (observed & ~half).any():
                    found.append(Split(self._probes(row, draw, fold, observed & half), observed & ~half))
        return found

    def _probes(self, row: int, draw: int, fold: int, pool: Mask) -> ProbeSet:
        own = row if self._design == Design.RANDOM else 0
        seed = ((self._seed * 1_000_003 + own) * 1_009 + draw) * 2 + fold
        size = min(self._n_probes, int(pool.sum()))
        if isinstance(self._model, Refitted) or self._design == Design.RANDOM:
            return ProbeSet(random_probes(pool.size, size, seed, eligible=pool), np.ones(size, dtype=np.bool_))
        key = (seed, np.packbits(pool).tobytes())
        if key not in self._designed:
            model = self._model.spread
            self._designed[key] = design_probes(model, size, design=self._design, seed=seed, eligible=pool)
        return self._designed[key]


def _score_task(
    matrix: ForgettingMatrix,
    row: int,
    model: Fitted | Refitted,
    means: Floats,
    splits: list[Split],
    level: float,
) -> TaskScores:
    task = TaskScores(matrix.task_ids[row])
    truth, observed = matrix.row(row), matrix.observed[row]
    for split in splits:
        start = time.perf_counter()
        forecast = _forecast(model, split.probes, truth[split.probes.positions], level)
        seconds = time.perf_counter() - start
        task.add(forecast, truth, observed, split.scored, means, seconds)
    return task


def _forecast(
    model: Fitted | Refitted, probes: ProbeSet, forgetting: Floats, level: float
) -> RowForecast | PointForecast:
    """What is timed: the completed row, its intervals where there are some, and the highest of it."""
    if isinstance(model, Refitted):
        return model.forecast(probes.positions, forgetting)
    forecast = model.forecast(
        probes.positions, forgetting, level=level, random_probes=probes.positions[probes.at_random]
    )
    forecast.top(TIMED_TOP)
    return forecast
