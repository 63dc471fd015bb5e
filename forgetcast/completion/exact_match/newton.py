"""Many small logistic regressions at once, each with its own ridge, by Newton steps that never go uphill.

Notation
    P, Q, K  regressions, cells of each, features of a cell
    X        features, the same for every regression          (Q, K)
    y        the cells, 0 and 1                               (P, Q)
    weight   of a cell; 0 where it was not measured           (P, Q)
    o        what is added to every logit                     (P, Q) or (Q,)
    beta     coefficients, prior N(centre, diag(1/ridge))     (P, K)
    f        minus log likelihood and minus log prior         (P,)

Source: Bishop, PRML, section 4.3.3 (iterative reweighted least squares).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from forgetcast.completion.types import Floats, Mask, Values

Same = TypeVar("Same", bound=Values)

MOST_STEPS = 50
MOST_HALVINGS = 30
TOLERANCE = 1e-10  # of the decrement, which is twice what f still lies above its minimum


@dataclass(frozen=True, eq=False)
class Regressions:
    """P regressions of Q cells on K features."""

    features: Floats
    lost: Floats
    weight: Floats | Mask | None
    offset: Floats
    centre: Floats
    ridge: Floats

    def objective(self, beta: Floats) -> Floats:
        """f of every regression. (P,)"""
        prior = 0.5 * np.sum(self.ridge * (beta - self.centre) ** 2, axis=1)
        return np.asarray(self._likelihood(self.logits(beta)) + prior)

    def logits(self, beta: Floats) -> Floats:
        """(P, Q)"""
        found: Floats = beta @ self.features.T + self.offset
        return found

    def curvature(self, beta: Floats) -> Floats:
        """Second derivatives of f; their inverse is Laplace's covariance of beta. (P, K, K)"""
        return self._derivatives(beta)[1]

    def minimum(self, start: Floats, steps: int = MOST_STEPS) -> Floats:
        """beta after at most so many Newton steps from a start. (P, K)"""
        beta, value = start, self.objective(start)
        for _ in range(steps):
            gradient, curvature = self._derivatives(beta)
            step: Floats = np.asarray(np.linalg.solve(curvature, gradient[:, :, None])[:, :, 0], dtype=np.float64)
            decrement: Floats = np.sum(step * gradient, axis=1)
            if not (decrement > TOLERANCE).any():
                break
            beta, value = self._downhill(beta, value, step, decrement)
        return beta

    def _likelihood(self, logits: Floats) -> Floats:
        cells = np.logaddexp(0.0, logits) - self.lost * logits
        return np.asarray(np.sum(cells if self.weight is None else cells * self.weight, axis=1))

    def _derivatives(self, beta: Floats) -> tuple[Floats, Floats]:
        """Gradient (P, K) and curvature (P, K, K) of f."""
        n, k = self.features.shape
        chance = sigmoid(self.logits(beta))
        error, bend = chance - self.lost, chance * (1.0 - chance)
        if self.weight is not None:
            error, bend = error * self.weight, bend * self.weight
        products = (self.features[:, :, None] * self.features[:, None, :]).reshape(n, k * k)
        gradient = error @ self.features + self.ridge * (beta - self.centre)
        return gradient, (bend @ products).reshape(-1, k, k) + np.diag(self.ridge)

    def _downhill(self, beta: Floats, value: Floats, step: Floats, decrement: Floats) -> tuple[Floats, Floats]:
        """A Newton step of each regression, halved until f falls by a tenth of what its slope promises."""
        size = np.ones(value.size)
        for _ in range(MOST_HALVINGS):
            tried = beta - size[:, None] * step
            found = self.objective(tried)
            uphill = found > value - 0.1 * size * decrement + 1e-12 * (1.0 + np.abs(value))
            if not uphill.any():
                return tried, found
            size = np.where(uphill, size / 2, size)
        kept = np.where(uphill[:, None], beta, tried)
        return kept, np.where(uphill, value, found)


def sigmoid(logits: Same) -> Same:
    """Probability of a logit, in its type; no logit overflows."""
    found: Same = 0.5 + 0.5 * np.tanh(0.5 * logits)
    return found
