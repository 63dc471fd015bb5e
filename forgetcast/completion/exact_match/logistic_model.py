"""Logits of being lost as intercept + row shift + factors, and a new row folded in from its probes.

Notation
    Y    lost cells                                  (M, N)  0 and 1
    c    intercept of every column                   (N,)    logit
    B    loadings                                    (R, N)  logit per unit of w
    w    what is particular to a row, prior N(0, I)  (R,)
    y    a new row, P(y_j = 1) = sigmoid(c_j + b_j'w)  (N,)
    S    number of probes; B_S, c_S their columns

R is 1 + rank with a row shift and factors, 1 with the shift alone (the additive logit), and 0 for the columns alone.

Source: Bishop, PRML, section 4.5 (Laplace's approximation of logistic regression); MacKay (1992), The Evidence
Framework Applied to Classification Networks, for the probability averaged over it; Rad and Maleki (2020), A Scalable
Estimate of the Extra-Sample Prediction Error, for what each probe would have been without itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.blocks import column_slices
from forgetcast.completion.exact_match.lost_cells import measured_losses
from forgetcast.completion.exact_match.newton import Regressions, Same, sigmoid
from forgetcast.completion.models.factor_model import FactorModel
from forgetcast.completion.types import Floats, Indices, Values

MOST_LEVERAGE = 0.99  # of a probe in its own forecast, w b'Vb


@dataclass(frozen=True, eq=False)
class LogisticModel:
    """Prior of a row. intercept (N,), loadings (R, N); float32 or float64."""

    intercept: Values
    loadings: Values

    @property
    def n_examples(self) -> int:
        return int(self.intercept.size)

    def in_logits(self) -> FactorModel:
        """The Gaussian model of the same loadings whose noise is what one cell tells of its logit: for the design of
        probes.
        """
        chance = sigmoid(np.asarray(self.intercept, dtype=np.float64))
        noise = 1.0 / np.maximum(chance * (1.0 - chance), 1e-6)
        return FactorModel(self.intercept, self.loadings, noise.astype(self.loadings.dtype))


@dataclass(frozen=True, eq=False)
class ProbedLosses:
    """What a row's probes say of it.

    probes (S,) ints; lost (S,) floats, 0 and 1
    w : (R,) floats, its most probable value      root : (R, R) floats, root @ root.T is Laplace's covariance
    left_out : (S,) floats, logit of every probe by all others, averaged over w as ``logits`` is
    """

    probes: Indices
    lost: Floats
    w: Floats
    root: Floats
    left_out: Floats


def condition(model: LogisticModel, probes: Indices, lost: Floats) -> ProbedLosses:
    """Row shift and factors of a new row, given the cells that were measured, by Newton steps. No refit.

    Parameters
    ----------
    probes : (S,) ints, positions of the measured upstream examples, distinct; S may be 0 and N
    lost : (S,) 1 where the example is lost, 0 where it is kept

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, WrongKind, OutOfRange
    """
    probes, lost = measured_losses(probes, lost, model.n_examples)
    rank = model.loadings.shape[0]
    loadings = np.asarray(model.loadings[:, probes], dtype=np.float64)
    intercept = np.asarray(model.intercept[probes], dtype=np.float64)
    row = Regressions(loadings.T, lost[None, :], None, intercept, np.zeros(rank), np.ones(rank))
    if rank == 0:
        return ProbedLosses(probes, lost, np.zeros(0), np.zeros((0, 0)), intercept)
    w = row.minimum(np.zeros((1, rank)))
    root = np.asarray(np.linalg.inv(np.linalg.cholesky(row.curvature(w)[0])).T)
    logits = row.logits(w)[0]
    chance = sigmoid(logits)
    spread, weight = np.sum((root.T @ loadings) ** 2, axis=0), chance * (1.0 - chance)
    stiff = 1.0 - np.minimum(weight * spread, MOST_LEVERAGE)
    without = logits + spread * (chance - lost) / stiff
    return ProbedLosses(probes, lost, w[0], root, averaged(without, spread / stiff))


def logits(model: LogisticModel, row: ProbedLosses) -> Floats:
    """Logit of every cell, averaged over what is unknown of the row. (N,)"""
    return np.concatenate([found for _, found in logit_blocks(model, row)]).astype(np.float64, copy=False)


def logit_blocks(model: LogisticModel, row: ProbedLosses) -> Iterator[tuple[slice, Values]]:
    """The same a block of columns at a time, in the type of the loadings: what follows stays in the cache."""
    w, narrow = row.w.astype(model.loadings.dtype), np.ascontiguousarray(row.root.T, dtype=model.loadings.dtype)
    for block in column_slices(max(1, 4 * w.size), model.n_examples):
        loadings = model.loadings[:, block]
        unknown = narrow @ loadings
        unknown *= unknown
        yield block, averaged(model.intercept[block] + w @ loadings, unknown.sum(axis=0))


def averaged(logit: Same, variance: Same) -> Same:
    """Logit of the mean probability where the logit is Gaussian (MacKay)."""
    found: Same = logit / np.sqrt(1.0 + float(np.pi / 8.0) * variance)
    return found
