"""Averages of cells, of a domain or a row: how far off they may be, for cells share what the factors do not know.

Notation
    B, v   loadings and noise of the columns               (R, N), (N,)
    root   root @ root.T is the posterior covariance of w  (R, R)
    G      groups of cells
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.models.factor_model import Posterior
from forgetcast.completion.types import Floats, Indices, Values

T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True, eq=False)
class Groups:
    """Groups of positions, none of them empty, one after the other. starts, sizes (G,) ints

    order : (K,) ints, or None for the one group of all
    """

    order: Indices | None
    starts: Indices
    sizes: Indices

    @classmethod
    def of(cls, positions: Sequence[Indices]) -> Groups:
        sizes = np.array([group.size for group in positions], dtype=np.intp)
        order = np.concatenate(positions) if positions else np.zeros(0, dtype=np.intp)
        return cls(order, np.cumsum(sizes) - sizes, sizes)

    @classmethod
    def whole(cls, n_examples: int) -> Groups:
        return cls(None, np.zeros(1, dtype=np.intp), np.array([n_examples], dtype=np.intp))

    def sums(self, values: Values) -> Floats:
        """Sum over every group of an (N,) or (R, N) array. (G,) or (R, G)"""
        return self.sums_in_order(self.in_order(values))

    def in_order(self, values: NDArray[T]) -> NDArray[T]:
        """The values of the first group, then those of the next. (K,) or (R, K)"""
        return values if self.order is None else np.take(values, self.order, axis=-1)

    def sums_in_order(self, values: Values) -> Floats:
        """Sum over every group of values ``in_order``. (G,) or (R, G)"""
        if self.order is None:
            return np.asarray(values.sum(axis=-1, keepdims=True, dtype=np.float64))
        return np.asarray(np.add.reduceat(values, self.starts, axis=-1), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class AverageErrors:
    """Of every group. (G,) floats

    sd : standard deviation of the average by the factor model, nats per token; 0 where every cell was measured
    shared_ratio : how much larger the error is, at the same error of the cells, where they share a pattern of the row's
        own: as much of one as known rows show among these cells, in directions that the factors do not have
    """

    sd: Floats
    shared_ratio: Floats


def average_errors(posterior: Posterior, groups: Groups, level_variance: float) -> AverageErrors:
    """Errors of the average of each group, its measured cells certain.

    Parameters
    ----------
    level_variance : squared nats per token, in sd of the factor model: how well random probes alone tell the row's
        level
    """
    unmeasured = groups.in_order(~posterior.measured)
    noise = groups.sums_in_order(groups.in_order(posterior.noise) * unmeasured)
    summed, apart = np.empty((posterior.loadings.shape[0], groups.sizes.size)), noise.copy()
    # One after the other: at N = 141,816 new memory for all of them cost more than reading them.
    for place, loadings in enumerate(posterior.loadings):
        in_order = groups.in_order(loadings) * unmeasured
        summed[place] = groups.sums_in_order(in_order)
        if place > 0:
            apart += groups.sums_in_order(in_order * in_order)
    variance = np.sum((posterior.root.T @ summed) ** 2, axis=0) + noise
    count = groups.sums_in_order(unmeasured.astype(np.float64))
    together = np.sum(summed[1:] ** 2, axis=0) + noise
    # What single cells of the group leave unknown, added up as cells of known rows add up.
    own_pattern = groups.sums(posterior.variance) * together / np.where(apart > 0, apart, 1.0)
    expected = own_pattern + level_variance * count**2
    ratio = np.sqrt(np.maximum(1.0, np.divide(expected, variance, out=np.ones_like(variance), where=variance > 0)))
    return AverageErrors(np.sqrt(variance) / groups.sizes, ratio)


def level_variance(posterior: Posterior, residuals: Floats, scale: float) -> float:
    """How well the mean of a row is known from its random probes alone, as a variance in units of the row's scale.

    Parameters
    ----------
    residuals : (n,) floats, what each random probe lies above the forecast from all others, nats per token
    scale : of the row
    """
    n_unmeasured = max(1, posterior.measured.size - int(posterior.measured.sum()))
    cell = float(posterior.variance.sum()) / n_unmeasured
    bias = float(residuals.mean()) / scale if residuals.size > 1 and scale > 0 else 0.0
    return cell / max(1, residuals.size) + bias**2
