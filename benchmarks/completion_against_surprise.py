"""Forecasts beside those of scikit-surprise, which the authors of the method use: how far off, and how long they take.

    pip install scikit-surprise
    python -m benchmarks.completion_against_surprise olmo-7b-flan-dolma.npz              in domain; about 10 minutes
    python -m benchmarks.completion_against_surprise olmo-7b-flan-dolma.npz --test 66:   to the Tulu tasks

FILE is read as `forgetcast backtest` reads it. Every method completes the same rows and is scored on the same cells, in
the back-test's two folds. The three of scikit-surprise have the authors' settings and random probes; the default has
those very probes, and the mixed ones that a new task gets.

Seconds are of processor time, medians over tasks, so that a busy machine favours nobody. Those of scikit-surprise are
`fit` alone, its training set being there, and everything it does for a row: training set, fit, N predictions. The
default's are a forecast with intervals and its 100 highest, and the first task, which pays for fitting the known rows
and for every choice.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from surprise import SVD, BaselineOnly, KNNBaseline
from surprise.trainset import Trainset

from forgetcast.cli.options import rows
from forgetcast.completion import DEFAULT_METHOD, Design, FittedMethod, ForgettingMatrix, fit
from forgetcast.completion.methods.refit_per_task import PointForecast
from forgetcast.completion.reports.backtest import TIMED_TOP, column_mean
from forgetcast.completion.reports.probe_folds import ProbeFolds
from forgetcast.completion.reports.scores import TaskScores, method_figures, paired_figures
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.selection.probes import ProbeSet
from forgetcast.completion.types import Floats

# FLAN tasks that the authors hold out; they train on the other FLAN tasks.
HELD_OUT = "6,65,18,8,60,13,37,22,30,19,64,50,25,31,32,61,16,5,53,49"
N_FLAN = 66
SGD = {"method": "sgd", "n_epochs": 1000}
SURPRISE: dict[str, Callable[[int], Any]] = {
    "BaselineOnly": lambda seed: BaselineOnly(bsl_options=SGD, verbose=False),
    "KNNBaseline": lambda seed: KNNBaseline(bsl_options=SGD, verbose=False),
    "SVD": lambda seed: SVD(n_factors=5, n_epochs=1000, lr_all=0.005, reg_all=0, random_state=seed),
}
OWN = (DEFAULT_METHOD, f"{DEFAULT_METHOD}, mixed")


@dataclass
class Timed:
    """Scores of one method by task, and seconds: of the fit that a forecast needs, and of all that it needs."""

    tasks: list[TaskScores] = field(default_factory=list)
    fit_seconds: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--train", type=rows, help="known rows; the authors' 46 FLAN tasks by default")
    parser.add_argument(
        "--test", type=rows, default=rows(HELD_OUT), help="rows to forecast; the authors' 20 by default"
    )
    parser.add_argument("--probes", type=int, default=30)
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=1, help="rows at a time")
    options = parser.parse_args()
    matrix = ForgettingMatrix.load(options.file)
    held_out = rows(HELD_OUT).of(matrix.n_tasks) if options.train is None else []
    train = (
        [i for i in range(N_FLAN) if i not in held_out] if options.train is None else options.train.of(matrix.n_tasks)
    )
    test = options.test.of(matrix.n_tasks)
    compare(matrix, train, test, options.probes, options.draws, options.seed, options.processes)


@dataclass(frozen=True)
class Asked:
    """What every row is forecast with."""

    matrix: ForgettingMatrix
    known: ForgettingMatrix
    fitted: FittedMethod
    n_probes: int
    draws: int
    seed: int


def compare(
    matrix: ForgettingMatrix, train: list[int], test: list[int], n_probes: int, draws: int, seed: int, processes: int
) -> None:
    known = matrix.with_tasks(train)
    start = time.process_time()
    fitted = fit(known, seed=seed)
    fit_seconds = time.process_time() - start
    asked = Asked(matrix, known, fitted, n_probes, draws, seed)
    methods = {name: Timed() for name in (*OWN, *SURPRISE)}
    with ProcessPoolExecutor(processes) as pool:
        for done, row in enumerate(pool.map(partial(forecast_row, asked), test), 1):
            for name, timed in row.items():
                methods[name].tasks += timed.tasks
                methods[name].seconds += timed.seconds
                methods[name].fit_seconds += timed.fit_seconds
            print(f"{done} of {len(test)} tasks", flush=True)
    _print(methods, draws, seed, fit_seconds, len(train), matrix.n_examples, n_probes)


def forecast_row(asked: Asked, row: int) -> dict[str, Timed]:
    """One row forecast by every method, on the same cells."""
    matrix, fitted, means = asked.matrix, asked.fitted, column_mean(asked.known)
    methods = {name: Timed() for name in (*OWN, *SURPRISE)}
    for name, timed in methods.items():
        design = Design.MIXED if name.endswith("mixed") else Design.RANDOM
        timed.tasks.append(TaskScores(matrix.task_ids[row], asked.draws))
        for fold in ProbeFolds(matrix, fitted, asked.n_probes, design, asked.seed).of(row, asked.draws):
            values = matrix.row(row)[fold.probes.positions]
            forecast: PointForecast | RowForecast
            if name in SURPRISE:
                forecast = _surprise(SURPRISE[name](asked.seed + row), asked.known, fold.probes, values, timed)
            else:
                forecast = _default(fitted, fold.probes, values, timed)
            timed.tasks[-1].add(forecast, matrix.row(row), matrix.observed[row], fold.scored, means, {}, 0.0)
    return methods


def _default(fitted: FittedMethod, probes: ProbeSet, values: Floats, timed: Timed) -> RowForecast:
    start = time.process_time()
    forecast = fitted.forecast(probes.positions, values, random_probes=probes.positions[probes.at_random])
    forecast.top(TIMED_TOP)
    timed.seconds.append(time.process_time() - start)
    return forecast


def _surprise(algorithm: Any, known: ForgettingMatrix, probes: ProbeSet, values: Floats, timed: Timed) -> PointForecast:
    start = time.process_time()
    trainset = _trainset(known, probes, values)
    fitting = time.process_time()
    algorithm.fit(trainset)
    fitted = time.process_time()
    new = known.n_tasks
    estimates = [algorithm.estimate(new, example) for example in range(known.n_examples)]
    timed.seconds.append(time.process_time() - start)
    timed.fit_seconds.append(fitted - fitting)
    # KNNBaseline gives the number of its neighbours too.
    mean = np.array([one[0] if isinstance(one, tuple) else one for one in estimates], dtype=np.float64)
    mean[probes.positions] = values
    measured = np.zeros(known.n_examples, dtype=np.bool_)
    measured[probes.positions] = True
    return PointForecast(mean, measured)


def _trainset(known: ForgettingMatrix, probes: ProbeSet, values: Floats) -> Trainset:
    """Known cells and, as the last user, the new row's probes, in the form that surprise keeps them in."""
    cells = [
        (task, int(example), float(known.forgetting[task, example]))
        for task in range(known.n_tasks)
        for example in np.flatnonzero(known.observed[task])
    ]
    cells += [
        (known.n_tasks, int(example), float(value)) for example, value in zip(probes.positions, values, strict=True)
    ]
    by_task: dict[int, list[tuple[int, float]]] = {}
    by_example: dict[int, list[tuple[int, float]]] = {}
    for task, example, value in cells:
        by_task.setdefault(task, []).append((example, value))
        by_example.setdefault(example, []).append((task, value))
    scale = (min(cell[2] for cell in cells), max(cell[2] for cell in cells))
    users, items = ({place: place for place in group} for group in (by_task, range(known.n_examples)))
    return Trainset(by_task, by_example, len(by_task), known.n_examples, len(cells), scale, users, items)


def _print(
    methods: dict[str, Timed], draws: int, seed: int, fit_seconds: float, n_known: int, n_examples: int, n_probes: int
) -> None:
    n_tasks = len(methods[DEFAULT_METHOD].tasks)
    print(f"\n{n_tasks} tasks forecast from {n_known} known ones, N = {n_examples}, S = {n_probes}, {draws} draws\n")
    print(
        "| method | RMSE x 100, unprobed | RMSE / mean (90%) | recall 5% | fit, s | whole row, s |\n"
        "|---|---|---|---|---|---|"
    )
    for name, timed in methods.items():
        of = method_figures(timed.tasks, draws, seed)
        error = float("nan") if of.rmse_unprobed is None else 100 * of.rmse_unprobed
        fit_time = f"{np.median(timed.fit_seconds):.2f}" if timed.fit_seconds else "-"
        print(
            f"| {name} | {error:.2f} | {of.rel:.3f} ({of.rel_low:.3f}-{of.rel_high:.3f}) "
            f"| {of.recall_common:.3f} | {fit_time} | {np.median(timed.seconds):.5f} |"
        )
    print("\n| error, task by task | over BaselineOnly (90%) | over KNNBaseline | over SVD |\n|---|---|---|---|")
    tasks = {name: timed.tasks for name, timed in methods.items()}
    for name in (own for own in methods if own not in SURPRISE):
        ratios = paired_figures({other: tasks[other] for other in (name, *SURPRISE)}, name, seed)
        cells = [f"{of.ratio:.3f} ({of.low:.3f}-{of.high:.3f})" for of in ratios.values()]
        print(f"| {name} | {' | '.join(cells)} |")
    forecast = float(np.median(methods[DEFAULT_METHOD].seconds))
    first = fit_seconds + forecast
    print(
        f"\nforecast, intervals and top {TIMED_TOP}: {1000 * forecast:.2f} ms; "
        f"first task with fit and choices: {first:.2f} s"
    )
    for name in SURPRISE:
        fits, whole = float(np.median(methods[name].fit_seconds)), float(np.median(methods[name].seconds))
        print(
            f"{name}: {fits / forecast:,.0f} times its forecast by the fit alone, {whole / forecast:,.0f} by the whole "
            f"row; {fits / first:.1f} and {whole / first:.1f} times the first task"
        )


if __name__ == "__main__":
    main()
