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
the low rank of forgetting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from forgetcast.completion.arguments import measured_cells
from forgetcast.completion.blocks import column_blocks, column_slices
from forgetcast.completion.matrix.known_rows import KnownRows
from forgetcast.completion.models.column_noise import column_noise
from forgetcast.completion.types import Floats, Indices, Mask, Values

# Of the pattern of one known row this much is its own (bundled and OLMo-7B matrices); of several, half of what their
# noise puts into the column means, for neighbours bring the rest.
LONE_ROW_NOISE, MEANS_NOISE = 0.7, 0.5
LARGEST_RANK = 8  # of factors beside the row shift; log score of left-out cells: flat from 8 to 12


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Prior of a row. mean (N,), loadings (R, N) with the row shift first, noise (N,) positive; float32 or float64.

    mean_noise : share of the variance of the column means over the columns that is the noise of few known rows
    """

    mean: Values
    loadings: Values
    noise: Values
    mean_noise: float = 0.0

    @property
    def n_examples(self) -> int:
        return int(self.mean.size)

    @cached_property
    def mean_of_mean(self) -> float:
        """Mean over all columns of their means, nats per token."""
        return float(self.mean.mean(dtype=np.float64))

    @cached_property
    def cell_variance(self) -> float:
        """Mean variance of a cell around its column's mean and its row's shift, squared nats per token."""
        factors = float(np.vdot(self.loadings[1:], self.loadings[1:])) / self.n_examples
        return factors + float(self.noise.mean(dtype=np.float64))

    def with_doubt(self, share: float) -> FactorModel:
        """The same model, this share of the factors' variance taken for noise: loadings are estimates themselves."""
        if share == 0.0:
            return self
        noise = self.noise + share * np.sum(self.loadings[1:] ** 2, axis=0)
        return replace(self, noise=noise.astype(self.noise.dtype))


@dataclass(frozen=True, eq=False)
class ProbedRow:
    """A row's shift and factors given its probes, found once for everything that rests on it.

    probes (S,) ints; forgetting, deviation from the mean, noise (S,) floats; loadings (R, S) of the probed columns
    w : (R,) floats, posterior mean      root : (R, R) floats, root @ root.T is the posterior covariance
    left_out, left_out_variance : (S,) floats, what each probe lies above the forecast from all others, and the variance
        it would have had there
    """

    probes: Indices
    forgetting: Floats
    deviation: Floats
    loadings: Floats
    noise: Floats
    w: Floats
    root: Floats
    left_out: Floats
    left_out_variance: Floats


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
    return FactorModel(mean, loadings, noise.astype(loadings.dtype), _mean_noise(mean, noise, rows.n_tasks))


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


def condition(model: FactorModel, probes: Indices, forgetting: Floats) -> ProbedRow:
    """What the probes say of the row shift and the factors; parameters and raises are those of ``fold_in``."""
    probes, forgetting = measured_cells(probes, forgetting, model.n_examples)
    loadings, noise = _columns(model.loadings, probes), _columns(model.noise, probes)
    deviation = forgetting - _columns(model.mean, probes)
    precision = np.eye(loadings.shape[0]) + (loadings / noise) @ loadings.T
    root = np.asarray(np.linalg.inv(np.linalg.cholesky(precision)).T)
    w = root @ (root.T @ (loadings @ (deviation / noise)))
    # With G = B_S' B_S + diag(v_S) and y the deviation: (G^-1 y)_i / (G^-1)_ii and 1 / (G^-1)_ii. By Woodbury, so that
    # a row with every cell measured costs R x R and never S x S.
    solved = (deviation - w @ loadings) / noise
    inverse = np.maximum((1.0 - np.sum((root.T @ loadings) ** 2, axis=0) / noise) / noise, 1e-15 / noise)
    return ProbedRow(probes, forgetting, deviation, loadings, noise, w, root, solved / inverse, 1.0 / inverse)


def posterior(model: FactorModel, row: ProbedRow, mean: Floats, variance: Floats | None = None) -> Posterior:
    """Posterior around a mean (N,), the probes at their values.

    ``variance`` (N,) may be that of a row with the same probes: it does not depend on what they show.
    """
    measured = np.zeros(model.n_examples, dtype=np.bool_)
    measured[row.probes] = True
    if variance is None:
        variance = _variances(model.loadings, model.noise, row.root)
        variance[row.probes] = 0.0
    return Posterior(mean, variance, model.loadings, model.noise, row.root, measured)


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


def _mean_noise(mean: Values, noise: Floats, n_tasks: int) -> float:
    """Share of the variance of the column means that is noise."""
    between = float(mean.var(dtype=np.float64))
    if n_tasks == 1 or between <= 0.0:
        return LONE_ROW_NOISE if n_tasks == 1 else 0.0
    return min(LONE_ROW_NOISE, MEANS_NOISE * float(noise.mean()) / n_tasks / between)


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
