"""What a forecast for a new task is worth with the rows there are, and what more rows are expected to bring.

Notation
    m      known rows                                     e(m)  root mean square error of left-out rows, nats per token
    slope  of -log e on log m                             b     from all rows and from half of them
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.fit_method import fit
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.methods.registry import DEFAULT_METHOD
from forgetcast.completion.metrics import LEAST_SQUARE
from forgetcast.completion.reports.backtest import column_mean
from forgetcast.completion.types import Floats, Indices
from forgetcast.completion.validation import splits
from forgetcast.errors import TooFewRows

FEWEST_ROWS = 4
MOST_GROUPS = (
    6  # left out in turn, several families together where there are more; a fit each, and one of half the rows
)
STEEPEST = 0.5  # b; an error cannot fall faster than by the square root of the rows


@dataclass(frozen=True)
class RowsAhead:
    """n_rows : m        error : e(m), nats per token        rel : over the error of the known rows' mean
    left_out : `families` or `tasks`        slope : b
    """

    n_rows: int
    error: float
    rel: float
    left_out: str
    slope: float

    def after(self, n_more: int) -> float:
        """Expected error with so many rows more, nats per token."""
        return float(self.error * ((self.n_rows + n_more) / self.n_rows) ** -self.slope)


def rows_ahead(matrix: ForgettingMatrix, *, n_probes: int = 30, seed: int = 0) -> RowsAhead:
    """Forecast known rows as new tasks, from all rows of other families, or else all other rows, and from half of them.

    Raises
    ------
    TooFewRows, WrongKind
    """
    check_matrix(matrix)
    if matrix.n_tasks < FEWEST_ROWS:
        raise TooFewRows(f"What more rows bring is told from {FEWEST_ROWS} known rows, there are {matrix.n_tasks}.")
    groups = splits.left_out_together(matrix)
    n_rounds = min(len(groups), MOST_GROUPS)
    whole, half, by_mean = list[float](), list[float](), list[float]()
    n_known, n_half = list[int](), list[int]()
    for first in range(n_rounds):
        out = [row for group in groups[first::n_rounds] for row in group]
        others = [row for row in range(matrix.n_tasks) if row not in set(out)]
        if len(others) < 2:
            continue
        halved = _half(others, Draws(seed + first))
        n_known.append(len(others))
        n_half.append(len(halved))
        for rows, errors in ((others, whole), (halved, half)):
            errors += _errors(matrix, out, rows, n_probes, seed)
        by_mean += _errors_of_mean(matrix, out, others, n_probes, seed)
    if not whole:
        raise TooFewRows("All known rows are of one family, so none can be left out; measure tasks of another kind.")
    fall = 0.5 * float(np.mean(np.log(np.array(half) + LEAST_SQUARE) - np.log(np.array(whole) + LEAST_SQUARE)))
    slope = min(max(fall / math.log(np.mean(n_known) / np.mean(n_half)), 0.0), STEEPEST)
    return RowsAhead(
        n_rows=matrix.n_tasks,
        error=float(np.sqrt(np.mean(whole))),
        rel=float(
            np.exp(0.5 * np.mean(np.log(np.array(whole) + LEAST_SQUARE) - np.log(np.array(by_mean) + LEAST_SQUARE)))
        ),
        left_out="families" if splits.leaves_families_out(matrix) else "tasks",
        slope=slope,
    )


def _half(rows: list[int], draws: Draws) -> list[int]:
    chosen = draws.beginning_of_permutation(len(rows), max(1, len(rows) // 2))
    return sorted(rows[place] for place in chosen.tolist())


def _errors(matrix: ForgettingMatrix, out: list[int], rows: list[int], n_probes: int, seed: int) -> list[float]:
    """Mean square error of every left-out row over the cells that were not probed."""
    fitted = fit(matrix.with_tasks(rows), DEFAULT_METHOD, seed)
    errors = []
    for row in out:
        probes, scored = _cells(matrix, row, n_probes, seed)
        truth = matrix.row(row)
        forecast = fitted.forecast(probes, truth[probes], random_probes=probes)
        errors.append(float(np.mean((forecast.mean - truth)[scored] ** 2)))
    return errors


def _errors_of_mean(matrix: ForgettingMatrix, out: list[int], rows: list[int], n_probes: int, seed: int) -> list[float]:
    means = column_mean(matrix.with_tasks(rows))
    cells = [(row, _cells(matrix, row, n_probes, seed)[1]) for row in out]
    return [_mean_square(means - matrix.row(row), scored) for row, scored in cells]


def _mean_square(error: Floats, cells: Indices) -> float:
    return float(np.mean(error[cells] ** 2))


def _cells(matrix: ForgettingMatrix, row: int, n_probes: int, seed: int) -> tuple[Indices, Indices]:
    """Cells of a row that play the probes, the same whatever is known beside it, and those that are scored."""
    observed = np.flatnonzero(matrix.observed[row])
    n_probes = min(n_probes, max(1, observed.size // 2))
    drawn = Draws(seed + 1000 + row).beginning_of_permutation(observed.size, n_probes)
    probes = np.sort(observed[drawn])
    return probes, np.setdiff1d(observed, probes)
