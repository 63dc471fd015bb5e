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

from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import NotFinite, RepeatedExample, UnknownExample, WrongShape

NOISE_PSEUDO_ROWS = 8.0  # rows' worth of the pooled variance in every column's
EM_ROUNDS = 20  # fills of the missing cells; none when every cell is observed


@dataclass(frozen=True, eq=False)
class FactorModel:
    """Prior of a row. mean (N,), loadings (R, N) with the row shift first, noise (N,) positive."""

    mean: Floats
    loadings: Floats
    noise: Floats

    @property
    def n_examples(self) -> int:
        return int(self.mean.size)


@dataclass(frozen=True, eq=False)
class Posterior:
    """What is known of a row after its probes: a Gaussian over the row, cells that were measured being certain.

    mean : (N,) floats, nats per token
    variance : (N,) floats, of the cell itself (noise included); 0 where measured
    """

    mean: Floats
    variance: Floats
    loadings: Floats
    noise: Floats
    root: Floats  # (R, R), root @ root.T is the posterior covariance of w
    measured: Mask

    def average(self, positions: Indices) -> tuple[float, float]:
        """Mean and variance of the average of these cells, with their shared covariance; positions not empty."""
        unmeasured = positions[~self.measured[positions]]
        shared = self.root.T @ self.loadings[:, unmeasured].sum(axis=1)
        variance = shared @ shared + self.noise[unmeasured].sum()
        return float(self.mean[positions].mean()), float(variance) / positions.size**2


def fit_factor_model(forgetting: Floats, observed: Mask, rank: int) -> FactorModel:
    """Fit by the eigenvectors of the M x M Gram matrix; missing cells are filled and refilled (EM).

    Parameters
    ----------
    forgetting : (M, N) floats, nats per token; unobserved cells are never read
    observed : (M, N) bools, every row with at least one
    rank : number of factors beside the row shift; at most M - 2 of them are used
    """
    n_tasks, _ = forgetting.shape
    rank = max(0, min(rank, n_tasks - 2))
    filled, mean, shift = _additive_fit(forgetting, observed)
    residual = np.where(observed, filled - mean - shift[:, None], 0.0)
    factors = _principal(residual, rank)
    if rank and not observed.all():
        for _ in range(EM_ROUNDS):
            residual = np.where(observed, filled - mean - shift[:, None], factors)
            factors = _principal(residual, rank)
    spread = _spread(forgetting[observed])
    noise = column_noise(np.where(observed, residual - factors, 0.0), observed, rank, spread)
    loadings = _loadings(factors, rank)
    row = np.full((1, mean.size), np.sqrt(_shift_variance(shift, spread)))
    return FactorModel(mean, np.concatenate([row, loadings]), noise)


def fold_in(model: FactorModel, probes: Indices, forgetting: Floats) -> Posterior:
    """Posterior of a new task's row, given the cells that were measured. Closed form, no refit.

    Parameters
    ----------
    probes : (S,) ints, positions of the measured upstream examples, distinct; S may be 0 and N
    forgetting : (S,) floats, nats per token, after minus before; positive is forgotten

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, NotFinite
    """
    check_probes(probes, forgetting, model.n_examples)
    loadings, noise = model.loadings[:, probes], model.noise[probes]
    root = _posterior_root(loadings, noise)
    w = root @ (root.T @ (loadings @ ((forgetting - model.mean[probes]) / noise)))
    mean = model.mean + w @ model.loadings
    variance = np.sum((root.T @ model.loadings) ** 2, axis=0) + model.noise
    measured = np.zeros(model.n_examples, dtype=np.bool_)
    measured[probes] = True
    mean[probes] = forgetting
    variance[probes] = 0.0
    return Posterior(mean, variance, model.loadings, model.noise, root, measured)


def fill_missing(model: FactorModel, forgetting: Floats, observed: Mask) -> Floats:
    """Known rows with every missing cell at its posterior mean given the row's other cells. (M, N), a copy"""
    filled = np.where(observed, forgetting, 0.0)
    for row in np.flatnonzero(~observed.all(axis=1)):
        seen = np.flatnonzero(observed[row])
        filled[row] = fold_in(model, seen, forgetting[row, seen]).mean
    return filled


def left_out_residuals(model: FactorModel, probes: Indices, forgetting: Floats) -> tuple[Floats, float]:
    """Each probe's residual given all the others, in units of its own predictive sd, and y'G^-1 y / S.

    With G = B_S' B_S + diag(v_S) and y the deviation from the mean, the i-th is (G^-1 y)_i / sqrt((G^-1)_ii).

    Returns
    -------
    (S,) floats, standardised; and the row's improbability, 1 on average where the model holds (0 without probes)
    """
    if probes.size == 0:
        return np.zeros(0), 0.0
    loadings, noise = model.loadings[:, probes], model.noise[probes]
    root = _posterior_root(loadings, noise)
    deviation = forgetting - model.mean[probes]
    # Woodbury, so that a row with every cell measured costs R x R and never S x S.
    solved = (deviation - loadings.T @ (root @ (root.T @ (loadings @ (deviation / noise))))) / noise
    diagonal = (1.0 - np.sum((root.T @ loadings) ** 2, axis=0) / noise) / noise
    return solved / np.sqrt(np.maximum(diagonal, 1e-15 / noise)), float(deviation @ solved) / probes.size


def check_probes(probes: Indices, forgetting: Floats, n_examples: int) -> None:
    """Raises UnknownExample, RepeatedExample, WrongShape or NotFinite for cells that no row can have."""
    if probes.ndim != 1 or probes.shape != forgetting.shape:
        raise WrongShape(f"{probes.shape} probes, {forgetting.shape} measured values.")
    if probes.size and not (probes.min() >= 0 and probes.max() < n_examples):
        raise UnknownExample(f"A probe's position lies outside 0 to {n_examples - 1}.")
    if np.unique(probes).size != probes.size:
        raise RepeatedExample("A probe was given twice.")
    if not np.isfinite(forgetting).all():
        raise NotFinite("The forgetting of a probe is not a finite number.")


def _posterior_root(loadings: Floats, noise: Floats) -> Floats:
    """Root of the posterior covariance (I + B_S diag(1/v_S) B_S')^-1. (R, R), root @ root.T is the covariance."""
    precision = np.eye(loadings.shape[0]) + (loadings / noise) @ loadings.T
    return np.asarray(np.linalg.inv(np.linalg.cholesky(precision)).T)


def _additive_fit(forgetting: Floats, observed: Mask) -> tuple[Floats, Floats, Floats]:
    """Z with zeros where missing (M, N), column means (N,) and row shifts (M,), by least squares on observed cells."""
    filled = np.where(observed, forgetting, 0.0)
    per_column, per_row = observed.sum(axis=0), observed.sum(axis=1)
    shift = np.zeros(filled.shape[0])
    grand = filled.sum() / per_row.sum()
    for _ in range(1 if observed.all() else EM_ROUNDS):
        total = np.where(observed, filled - shift[:, None], 0.0).sum(axis=0)
        mean = np.where(per_column > 0, total / np.maximum(per_column, 1), grand)
        shift = np.where(observed, filled - mean, 0.0).sum(axis=1) / per_row
        shift -= shift.mean()
    return filled, mean, shift


def _principal(residual: Floats, rank: int) -> Floats:
    """Projection of the residual on its first ``rank`` directions. (M, N)"""
    if rank == 0:
        return np.zeros_like(residual)
    _, vectors = np.linalg.eigh(residual @ residual.T)
    leading = vectors[:, ::-1][:, :rank]
    return np.asarray(leading @ (leading.T @ residual))


def _loadings(factors: Floats, rank: int) -> Floats:
    """Loadings whose scores have unit variance over the known rows, from the M x N fit. (rank, N)"""
    if rank == 0:
        return np.zeros((0, factors.shape[1]))
    _, vectors = np.linalg.eigh(factors @ factors.T)
    leading: Floats = vectors[:, ::-1][:, :rank]
    loadings: Floats = leading.T @ factors / np.sqrt(factors.shape[0] - 1)
    return loadings


def column_noise(residual: Floats, observed: Mask, rank: int, spread: float) -> Floats:
    """Noise variance of every column, shrunk toward the typical column. (N,)

    The typical column is the median, so that one column far larger than the rest moves no other. With one known
    row nothing tells noise from mean: half the variance of its cells is taken. ``spread`` is the variance of all cells.
    """
    n_tasks = residual.shape[0]
    floor = 1e-9 * spread
    freedom = np.maximum(observed.sum(axis=0) * (1.0 - (1.0 + rank) / n_tasks), 0.0)
    square = np.sum(residual**2, axis=0)
    known = freedom > 0.5
    if not known.any():
        return np.full(residual.shape[1], max(spread / 2, floor))
    # Wilson and Hilferty: the median of chi2_d / d is near (1 - 2 / 9d)^3.
    typical = float(np.median(square[known] / freedom[known] / (1 - 2 / (9 * freedom[known])) ** 3))
    noise = (square + NOISE_PSEUDO_ROWS * typical) / (freedom + NOISE_PSEUDO_ROWS)
    floored: Floats = np.maximum(noise * (1.0 + 1.0 / np.maximum(observed.sum(axis=0), 1)), floor)
    return floored


def _shift_variance(shift: Floats, spread: float) -> float:
    """Variance of the row shift over tasks, with two pseudo-rows of the variance of the cells themselves."""
    return (float(shift @ shift) + 2.0 * spread) / (shift.size + 1.0)


def _spread(cells: Floats) -> float:
    """Variance of the measured cells; where all are alike, a trace of their square, so that nothing divides by 0."""
    return max(float(np.var(cells)), 1e-12 * float(np.mean(cells**2)), 1e-30)
