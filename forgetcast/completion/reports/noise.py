"""How noisy a cell is: from tasks measured twice, or, where there is none, how noisy it is at most.

Notation
    Y    known rows, each less its mean and over its sd; 0 where a cell is missing        (M, N)
    P    (YY' + lambda I)^-1                                                              (M, M)
    u_j  P y_j                                q_j  y_j' P y_j

Noise of a cell cannot be forecast from anything, so a forecast from all other cells is off by the noise at least: what
it is off is a bound. What a few factors leave is none, for it holds what is a task's own beside the noise (the bundled
matrix: .050, where repeats say .016), and less than the noise where factors have followed it.

The forecast is the ridge regression of a row on all others over the columns, the cell's own column left out. For all
rows at once: by Schur's complement, what is known of row i from the others makes its residual u_ij / P_ii and the
leverage of its cell h = 1 / N + q_j - u_ij^2 / P_ii; with the column left out the residual is u_ij / P_ii / (1 - h).

Source: Golub, Heath and Wahba (1979), Generalized cross-validation, for lambda by what is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from forgetcast.completion.blocks import column_blocks
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.noise_floor import Repeat
from forgetcast.completion.metrics import recall
from forgetcast.completion.reports.analysis_report import Noise, RepeatedTask
from forgetcast.completion.types import Floats, Indices, Mask

FEWEST_CELLS = 3  # of a row that is regressed on others
RIDGES = np.logspace(-4, 1, 11)  # lambda over N


def noise_by_repeats(repeats: Sequence[Repeat], variance: float, domains: Sequence[Indices] = ()) -> Noise:
    """Noise of a cell and of the means of a row and a domain, every repeated task weighing the same.

    Parameters
    ----------
    variance : of all known cells
    domains : positions of each domain
    """
    tasks = tuple(_repeated(repeat) for repeat in repeats)
    cell_variance = float(np.mean([task.cell_sd**2 for task in tasks]))
    return Noise(
        source="repeats",
        at_most=False,
        cell_sd=cell_variance**0.5,
        row_mean_sd=float(np.sqrt(np.mean([task.row_mean_difference**2 for task in tasks]) / 2)),
        r2_ceiling=_ceiling(cell_variance, variance),
        repeats=tasks,
        domain_mean_sd=_domain_mean_sd(repeats, domains),
    )


def _domain_mean_sd(repeats: Sequence[Repeat], domains: Sequence[Indices]) -> float | None:
    """What means of domains differ by, beside the row's mean and what the noise of their cells makes of them."""
    if not domains:
        return None
    found = [
        own
        for repeat in repeats
        if repeat.positions is not None and (own := _domain_variance(repeat, domains)) is not None
    ]
    return float(np.sqrt(max(0.0, float(np.mean(found))) / 2)) if found else None


def _domain_variance(repeat: Repeat, domains: Sequence[Indices]) -> float | None:
    """Of the differences of a task's domain means; less than none is kept, lest the mean over tasks be too large."""
    assert repeat.positions is not None
    difference = repeat.first - repeat.second
    parts = [difference[np.isin(repeat.positions, domain)] for domain in domains]
    parts = [part for part in parts if part.size > 1]
    if len(parts) < 2:
        return None
    means = np.array([part.mean() for part in parts])
    of_cells = float(np.mean([part.var(ddof=1) / part.size for part in parts]))
    return float(means.var(ddof=1)) - of_cells


def noise_at_most(matrix: ForgettingMatrix, variance: float, highest_r2: float | None) -> Noise:
    """What the noise is at most in the middle task, and the R2 without it at least.

    Parameters
    ----------
    variance : of all known cells
    highest_r2 : of any fit; a ceiling that is known to be no lower than something below it says nothing
    """
    squared = _unforeseen(matrix)
    ceiling = None if squared is None else _ceiling(float(squared.mean()), variance)
    if ceiling is not None and highest_r2 is not None and ceiling < highest_r2:
        ceiling = None
    cell_sd = None if squared is None else float(np.sqrt(np.median(squared)))
    return Noise("residuals", at_most=True, cell_sd=cell_sd, row_mean_sd=None, r2_ceiling=ceiling, repeats=())


def _ceiling(cell_variance: float, variance: float) -> float | None:
    """Share of the cells' variance that is no noise."""
    return max(0.0, 1.0 - cell_variance / variance) if variance > 0 else None


def _unforeseen(matrix: ForgettingMatrix) -> Floats | None:
    """Mean square of what each row's cells are off a forecast from all other cells; None without cells enough. (K,)"""
    n_tasks, n_examples = matrix.n_tasks, matrix.n_examples
    n_observed = matrix.observed.sum(axis=1)
    enough = n_observed >= FEWEST_CELLS
    if not enough.any():
        return None
    mean, sd = _moments(matrix, n_observed)
    gram = np.zeros((n_tasks, n_tasks))
    for _, deviation in _deviations(matrix, mean):
        gram += (deviation / sd) @ (deviation / sd).T
    inverses = [np.linalg.inv(gram + ridge * n_examples * np.eye(n_tasks)) for ridge in RIDGES]
    squares = np.zeros((RIDGES.size, n_tasks))
    for observed, deviation in _deviations(matrix, mean):
        Y = deviation / sd
        for place, P in enumerate(inverses):
            u, own = P @ Y, np.diag(P)[:, None]
            leverage = 1 / n_observed[:, None] + np.sum(Y * u, axis=0) - u**2 / own
            residual = u / own / np.maximum(1.0 - leverage, 1e-3)  # above, unless cells are missing
            squares[place] += np.sum(residual**2, axis=1, where=observed)
    return np.asarray((squares.min(axis=0) / n_observed * sd[:, 0] ** 2)[enough])


def _moments(matrix: ForgettingMatrix, n_observed: Indices) -> tuple[Floats, Floats]:
    """Mean and sd of every row's measured cells, an sd of 1 where they are all alike. (M, 1) each"""
    total, squares = np.zeros(matrix.n_tasks), np.zeros(matrix.n_tasks)
    for _, cells in _deviations(matrix, np.zeros((matrix.n_tasks, 1))):
        total += cells.sum(axis=1)
    mean = (total / n_observed)[:, None]
    for _, deviation in _deviations(matrix, mean):
        squares += np.sum(deviation**2, axis=1)
    sd = np.sqrt(squares / n_observed)
    return mean, np.where(sd > 0, sd, 1.0)[:, None]


def _deviations(matrix: ForgettingMatrix, mean: Floats) -> Iterator[tuple[Mask, Floats]]:
    """Blocks of columns: which cells were measured, and the cells less their row's mean, 0 where one is missing."""
    for block, cells in column_blocks(matrix.forgetting):
        observed = matrix.observed[:, block]
        yield observed, np.where(observed, cells, mean) - mean


def _repeated(repeat: Repeat) -> RepeatedTask:
    a, b = repeat.first, repeat.second
    varies = a.size > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
    return RepeatedTask(
        task=repeat.task_id,
        n_cells=int(a.size),
        cell_sd=float(np.sqrt(np.mean((a - b) ** 2) / 2)),
        row_mean_difference=float(b.mean() - a.mean()),
        correlation=float(np.corrcoef(a, b)[0, 1]) if varies else None,
        top_5pct_overlap=recall(b, a),
    )
