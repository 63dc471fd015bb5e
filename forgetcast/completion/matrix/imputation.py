"""Missing cells of the known rows: mean + row shift + factors, every part shrunk by how little tells of it.

Notation
    Z      known rows                              (M, N)  nats per token; observed cells only
    m      mean of all cells
    a_j    effect of a column, prior N(0, A)       (N,)    n_j observed cells
    b_i    shift of a row, prior N(0, B)           (M,)    n_i observed cells
    v      variance of a cell around m + a + b
    X      what is left of a cell, low in rank     (M, N)

a and b are solved for together, A, B and v estimated from them, until they stand still. The cells of a row with few of
them are believed no further than other rows go, so that one far out gives no row a shift of its own. X is the low-rank
matrix nearest to the residuals whose singular values are lowered by what noise alone would give them, found by filling
and projecting until it stands still.

Source: Searle, Casella and McCulloch, Variance Components, section 7.1, for the effects; Mazumder, Hastie and
Tibshirani (2010), Spectral Regularization Algorithms for Learning Large Incomplete Matrices (soft-impute), for the
rest.
"""

from __future__ import annotations

import numpy as np

from forgetcast.completion.types import Floats, Mask, Values

STILL = 1e-5  # of the cells' sd: smaller moves end the search
EFFECT_ROUNDS = 50
REACH, REACH_PER_CELL = 1.0, 0.25  # how far the cells of a row are believed, in sd of a cell: more with every cell
FACTOR_STILL = 1e-3
FACTOR_ROUNDS = 200
MOST_RESIDUAL = 20.0  # of a cell, in sd, that factors are found from: one wild cell is no pattern
# Share of the largest singular value of noise: 1 costs 5% of the error of cells that are missing here and there.
THRESHOLD = 0.5


def impute(forgetting: Values, observed: Mask, rank: int) -> Floats:
    """Known rows with every missing cell at what the others say of it. (M, N), a copy

    Parameters
    ----------
    forgetting : (M, N) floats, nats per token; unobserved cells are never read
    observed : (M, N) bools, every row with at least one
    rank : most factors beside column means and row shifts
    """
    cells = np.where(observed, forgetting, 0.0).astype(np.float64, copy=False)
    n_cells = float(observed.sum())
    mean = float(cells.sum()) / n_cells
    centred = np.where(observed, cells - mean, 0.0)
    column, row, variance = _effects(centred, observed, n_cells)
    around = column + row[:, None]
    bound = MOST_RESIDUAL * variance**0.5
    residual = np.where(observed, np.clip(centred - around, -bound, bound), 0.0)
    factors = _low_rank(residual, observed, min(rank, cells.shape[0]), variance)
    return np.where(observed, cells, mean + around + factors)


def _effects(centred: Floats, observed: Mask, n_cells: float) -> tuple[Floats, Floats, float]:
    """Column effects (N,), row shifts (M,) and the variance left in a cell."""
    per_column, per_row = observed.sum(axis=0), observed.sum(axis=1)
    reach = (REACH + REACH_PER_CELL * per_row)[:, None]
    column, row = np.zeros(centred.shape[1]), np.zeros(centred.shape[0])
    total = float(np.sum(centred**2)) / n_cells
    if total == 0.0:
        return column, row, 0.0
    seen = observed.astype(np.float64)
    of_columns, of_rows, variance = total / 4, total / 4, total / 2
    for _ in range(EFFECT_ROUNDS):
        furthest = reach * (of_rows + variance) ** 0.5
        believed = np.where(observed, np.clip(centred, column - furthest, column + furthest), 0.0)
        before = row, column
        row, column, of_row, of_column = _solved(believed, seen, variance / of_rows, variance / of_columns)
        # An estimate varies less than what it estimates, by its own posterior variance.
        of_rows = float(np.mean(row**2 + variance * of_row)) + 1e-9 * total
        of_columns = float(np.mean(column**2 + variance * of_column)) + 1e-9 * total
        left = np.where(observed, believed - column - row[:, None], 0.0)
        freedom = max(n_cells - float(per_row @ of_row + per_column @ of_column), 0.1 * n_cells)
        variance = max(float(np.sum(left**2)) / freedom, 1e-9 * total)
        moved = max(float(np.abs(row - before[0]).max()), float(np.abs(column - before[1]).max()))
        if moved < STILL * total**0.5:
            break
    return column, row, variance


def _solved(
    cells: Floats, seen: Floats, row_ridge: float, column_ridge: float
) -> tuple[Floats, Floats, Floats, Floats]:
    """b and a, given the ratios of variances, and the posterior variance of each over that of a cell; exact.

    Columns are eliminated first, so that an M x M system is left.
    """
    by_column = 1.0 / (seen.sum(axis=0) + column_ridge)
    by_row = seen.sum(axis=1) + row_ridge
    shared = (seen * by_column) @ seen.T
    inverse = np.linalg.inv(np.diag(by_row) - shared)
    row = inverse @ (cells.sum(axis=1) - (seen * by_column) @ cells.sum(axis=0))
    column = (cells.sum(axis=0) - row @ seen) * by_column
    return row, column, np.diag(inverse), by_column


def _low_rank(residual: Floats, observed: Mask, rank: int, variance: float) -> Floats:
    """X: at most ``rank`` directions, each without what noise of this variance alone would give it. (M, N)"""
    factors = np.zeros_like(residual)
    if rank == 0 or variance == 0.0:
        return factors
    share = float(observed.mean())
    # The largest singular value of noise over the observed cells (Davidson and Szarek, 2001).
    threshold = THRESHOLD * (variance * share) ** 0.5 * (residual.shape[0] ** 0.5 + residual.shape[1] ** 0.5)
    for _ in range(FACTOR_ROUNDS):
        filled = np.where(observed, residual, factors)
        squared, vectors = np.linalg.eigh(filled @ filled.T)
        singular = np.sqrt(np.maximum(squared[::-1][:rank], 0.0))
        kept = np.maximum(singular - threshold, 0.0) / np.maximum(singular, 1e-300)
        leading = vectors[:, ::-1][:, :rank]
        moved_to = (leading * kept) @ (leading.T @ filled)
        moved = float(np.sqrt(np.mean((moved_to - factors) ** 2)))
        factors = np.asarray(moved_to)
        if moved < FACTOR_STILL * variance**0.5:
            break
    return factors
