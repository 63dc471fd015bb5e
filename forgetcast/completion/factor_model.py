"""Rows as mean + row shift + factors + per-example noise, and a new row folded in from its probes.

Notation
    Z    forgetting                                  (M, N)  nats per token
    mu   mean of every column                        (N,)    nats per token
    B    loadings; the row shift is the first        (R, N)  nats per token and unit of w
    w    what is particular to a row, prior N(0, I)  (R,)
    v    noise variance of every column              (N,)    squared nats per token
    y    a new row, y = mu + B'w + e, e ~ N(0, v)    (N,)
    S    number of probes; B_S, v_S their columns

Source: Bishop, PRML, section 12.2 (probabilistic PCA and factor analysis); Jin and Ren, arXiv:2406.14026, for
the low rank of forgetting; Smyth (2004), for shrinking the variance of many columns seen a few times each.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.arguments import measured_cells
from forgetcast.completion.blocks import column_blocks, column_slices
from forgetcast.completion.known_rows import KnownRows
from forgetcast.completion.types import Floats, Indices, Mask, Values

NOISE_PSEUDO_ROWS = 8.0  # rows' worth of the pooled variance in every column's


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Prior of a row. mean (N,), loadings (R, N) with the row shift first, noise (N,) positive; float32 or float64."""

    mean: Values
    loadings: Values
    noise: Values

    @property
    def n_examples(self) -> int:
        return int(self.mean.size)


@dataclass(frozen=True, eq=False)
class Conditioned:
    """A row's shift and factors given its probes, found once for everything that rests on it.

    probes (S,) ints; forgetting, deviation from the mean, noise (S,) floats; loadings (R, S) of the probed columns
    w : (R,) floats, posterior mean      root : (R, R) floats, root @ root.T is the posterior covariance
    """

    probes: Indices
    forgetting: Floats
    deviation: Floats
    loadings: Floats
    noise: Floats
    w: Floats
    root: Floats


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a row after its probes: a Gaussian over the row, cells that were measured being certain.

    mean : (N,) floats, nats per token
    variance : (N,) floats, of the cell itself (noise included); 0 where measured
    """

    mean: Floats
    variance: Floats
    loadings: Values
    noise: Values
    root: Floats  # (R, R), root @ root.T is the posterior covariance of w
    measured: Mask

    def average(self, positions: Indices) -> tuple[float, float]:
        """Mean and variance of the average of these cells, with their shared covariance; positions not empty."""
        if positions.size == self.mean.size:  # the whole row: one product instead of a gather
            loadings, noise = self.loadings @ (~self.measured).astype(self.loadings.dtype), self.noise[~self.measured]
        else:
            unmeasured = positions[~self.measured[positions]]
            loadings, noise = self.loadings[:, unmeasured].sum(axis=1), self.noise[unmeasured]
        shared = self.root.T @ loadings
        variance = float(shared @ shared) + float(noise.sum(dtype=np.float64))
        return float(self.mean[positions].mean()), variance / positions.size**2


def fit_factor_model(rows: KnownRows, rank: int) -> FactorModel:
    """Fit by the eigenvectors of the M x M products of the rows; the columns are read once, block by block.

    Parameters
    ----------
    rank : number of factors beside the row shift; at most M - 2 of them are used
    """
    rank = max(0, min(rank, rows.n_tasks - 2))
    shift = rows.gram.row_shifts()
    vectors = _leading(rows.gram.deviations() - rows.n_examples * np.outer(shift, shift), rank)
    mean, offset = rows.mean, float(rows.mean.mean())
    loadings = np.empty((1 + rank, rows.n_examples), dtype=rows.values.dtype)
    square = np.empty(rows.n_examples)
    cells_sum = cells_square = 0.0
    for block, cells in column_blocks(rows.values):
        observed = None if rows.observed is None else rows.observed[:, block]
        seen = (cells if observed is None else cells[observed]) - offset
        cells_sum, cells_square = cells_sum + float(seen.sum()), cells_square + float(np.vdot(seen, seen))
        cells -= mean[block] + shift[:, None]
        scores = vectors.T @ cells
        loadings[1:, block] = scores / np.sqrt(max(1, rows.n_tasks - 1))
        cells -= vectors @ scores
        square[block] = np.sum(cells**2, axis=0, where=True if observed is None else observed)
    spread = _spread(cells_sum, cells_square, float(rows.n_observed.sum()), offset)
    noise = column_noise(square, rows.n_observed, rows.n_tasks, rank, spread)
    loadings[0] = np.sqrt(_shift_variance(shift, spread))
    return FactorModel(mean, loadings, noise.astype(loadings.dtype))


def fold_in(model: FactorModel, probes: Indices, forgetting: Floats) -> Posterior:
    """Posterior of a new task's row, given the cells that were measured. Closed form, no refit.

    Parameters
    ----------
    probes : (S,) ints, positions of the measured upstream examples, distinct; S may be 0 and N
    forgetting : (S,) floats, nats per token, after minus before; positive is forgotten

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, WrongKind, NotFinite, BeyondBelief
    """
    row = condition(model, probes, forgetting)
    mean: Floats = (model.mean + row.w.astype(model.loadings.dtype) @ model.loadings).astype(np.float64)
    mean[probes] = forgetting
    return posterior(model, row, mean)


def condition(model: FactorModel, probes: Indices, forgetting: Floats) -> Conditioned:
    """What the probes say of the row shift and the factors; parameters and raises are those of ``fold_in``."""
    probes, forgetting = measured_cells(probes, forgetting, model.n_examples)
    loadings, noise = _columns(model.loadings, probes), _columns(model.noise, probes)
    deviation = forgetting - _columns(model.mean, probes)
    precision = np.eye(loadings.shape[0]) + (loadings / noise) @ loadings.T
    root = np.asarray(np.linalg.inv(np.linalg.cholesky(precision)).T)
    w = root @ (root.T @ (loadings @ (deviation / noise)))
    return Conditioned(probes, forgetting, deviation, loadings, noise, w, root)


def posterior(model: FactorModel, row: Conditioned, mean: Floats, variance: Floats | None = None) -> Posterior:
    """Posterior around a mean (N,), the probes at their values.

    ``variance`` (N,) may be that of a row with the same probes: it does not depend on what they show.
    """
    measured = np.zeros(model.n_examples, dtype=np.bool_)
    measured[row.probes] = True
    if variance is None:
        variance = _variances(model.loadings, model.noise, row.root)
        variance[row.probes] = 0.0
    return Posterior(mean, variance, model.loadings, model.noise, row.root, measured)


def left_out_residuals(row: Conditioned) -> tuple[Floats, float]:
    """Each probe's residual given all the others, in units of its own predictive sd, and y'G^-1 y / S.

    With G = B_S' B_S + diag(v_S) and y the deviation from the mean, the i-th is (G^-1 y)_i / sqrt((G^-1)_ii).

    Returns
    -------
    (S,) floats, standardised; and the row's improbability, 1 on average where the model holds (0 without probes)
    """
    if row.probes.size == 0:
        return np.zeros(0), 0.0
    # Woodbury, so that a row with every cell measured costs R x R and never S x S.
    solved = (row.deviation - row.w @ row.loadings) / row.noise
    diagonal = (1.0 - np.sum((row.root.T @ row.loadings) ** 2, axis=0) / row.noise) / row.noise
    improbability = float(row.deviation @ solved) / row.probes.size
    return solved / np.sqrt(np.maximum(diagonal, 1e-15 / row.noise)), improbability


def _columns(values: Values, probes: Indices) -> Floats:
    return np.asarray(values[..., probes], dtype=np.float64)


def _leading(products: Floats, rank: int) -> Floats:
    """The first ``rank`` eigenvectors of the products of the rows' residuals. (M, rank)"""
    if rank == 0:
        return np.zeros((products.shape[0], 0))
    vectors: Floats = np.linalg.eigh(products)[1][:, ::-1][:, :rank]
    return vectors


def _variances(loadings: Values, noise: Values, root: Floats) -> Floats:
    """Variance of every cell given the posterior covariance root @ root.T of w. (N,)"""
    variance = np.empty(noise.size)
    narrow = np.ascontiguousarray(root.T, dtype=loadings.dtype)
    for block in column_slices(loadings.shape[0], noise.size):
        spread = narrow @ loadings[:, block]
        variance[block] = np.einsum("rn,rn->n", spread, spread)
        variance[block] += noise[block]
    return variance


def column_noise(square: Floats, n_observed: Floats, n_tasks: int, rank: int, spread: float) -> Floats:
    """Noise variance of every column, shrunk toward the typical column. (N,)

    The typical column is the median, so that one column far larger than the rest moves no other. With one known
    row nothing tells noise from mean: half the variance of its cells is taken.

    Parameters
    ----------
    square : (N,) floats, summed squared residuals of every column's observed cells
    n_observed : (N,) floats, how many there were
    spread : variance of all cells
    """
    floor = 1e-9 * spread
    freedom = np.maximum(n_observed * (1.0 - (1.0 + rank) / n_tasks), 0.0)
    known = freedom > 0.5
    if not known.any():
        return np.full(square.size, max(spread / 2, floor))
    # Wilson and Hilferty: the median of chi2_d / d is near (1 - 2 / 9d)^3.
    typical = float(np.median(square[known] / freedom[known] / (1 - 2 / (9 * freedom[known])) ** 3))
    noise = (square + NOISE_PSEUDO_ROWS * typical) / (freedom + NOISE_PSEUDO_ROWS)
    floored: Floats = np.maximum(noise * (1.0 + 1.0 / np.maximum(n_observed, 1.0)), floor)
    return floored


def _shift_variance(shift: Floats, spread: float) -> float:
    """Variance of the row shift over tasks, with two pseudo-rows of the variance of the cells themselves."""
    return (float(shift @ shift) + 2.0 * spread) / (shift.size + 1.0)


def _spread(total: float, square: float, n_cells: float, offset: float) -> float:
    """Variance of the measured cells, from sums of cell - offset and its square.

    Where all cells are alike it is a trace of their square, so that nothing divides by 0.
    """
    mean = total / n_cells
    variance = square / n_cells - mean**2
    return max(variance, 1e-12 * (variance + (mean + offset) ** 2), 1e-30)
