"""Noise variance of every column, shrunk toward the typical column by as much as the columns are alike.

Notation
    s2_j   residual variance of column j over the known rows, d degrees of freedom   squared nats per token
    s0, d0 typical variance, and how many degrees of freedom it is worth

Columns' true variances are scaled inverse chi-squared, so s2_j / s0 is F(d, d0): d0 and s0 follow from the mean and
the variance of ln s2_j. Where columns are alike d0 is large and every column has the typical variance; where some
domains are noisy it is small and every column keeps its own.

Source: Smyth (2004), Linear models and empirical Bayes methods, section 6.2.
"""

from __future__ import annotations

from math import exp, log

import numpy as np

from forgetcast.completion.types import Floats

# Residuals have heavy tails (kurtosis 6 on the published OLMo-7B matrix), so a variance from them is worth half as many
# degrees of freedom as a Gaussian's: log score of left-out cells -3.739 beside -3.727 with a fixed d0 of 8.
TAIL_DISCOUNT = 0.5
ESTIMATE_COLUMNS = 8192  # that d0 and s0 are estimated from, evenly over a wider matrix
MOST_FREEDOM = 1000.0  # of d0: beyond, all columns are alike


def column_noise(square: Floats, n_observed: Floats, n_tasks: int, rank: int, spread: float) -> Floats:
    """Noise variance of every column. (N,)

    With one known row nothing tells noise from mean: half the variance of its cells is taken.

    Parameters
    ----------
    square : (N,) floats, summed squared residuals of every column's observed cells
    n_observed : (N,) floats, how many there were
    rank : factors that were fitted beside the row shift
    spread : variance of all cells
    """
    floor = 1e-9 * spread
    freedom = np.maximum(n_observed * (1.0 - (1.0 + rank) / n_tasks), 0.0)
    known = np.flatnonzero(freedom > 0.5)
    if known.size == 0:
        return np.full(square.size, max(spread / 2, floor))
    known = known[:: max(1, known.size // ESTIMATE_COLUMNS)]
    typical, prior_freedom = _typical(square[known] / freedom[known], TAIL_DISCOUNT * float(freedom[known].mean()))
    noise = (TAIL_DISCOUNT * square + prior_freedom * typical) / (TAIL_DISCOUNT * freedom + prior_freedom)
    floored: Floats = np.maximum(noise * (1.0 + 1.0 / np.maximum(n_observed, 1.0)), floor)
    return floored


def _typical(variance: Floats, freedom: float) -> tuple[float, float]:
    """s0 and d0 from variances of this many degrees of freedom each."""
    middle = float(np.median(variance))
    if middle <= 0.0:
        return float(variance.mean()), MOST_FREEDOM
    # A column that hardly varies would have a logarithm far below all others, and speak for them.
    logs = np.log(np.maximum(variance, 1e-4 * middle)) - _digamma(freedom / 2) + log(freedom / 2)
    excess = float(logs.var()) - _trigamma(freedom / 2)
    prior_freedom = min(MOST_FREEDOM, 2 * _inverse_trigamma(excess)) if excess > 0 else MOST_FREEDOM
    return exp(float(logs.mean()) + _digamma(prior_freedom / 2) - log(prior_freedom / 2)), prior_freedom


def _digamma(x: float) -> float:
    total = 0.0
    while x < 6.0:
        total, x = total - 1.0 / x, x + 1.0
    f = 1.0 / (x * x)
    return total + log(x) - 0.5 / x - f * (1 / 12 - f * (1 / 120 - f / 252))


def _trigamma(x: float) -> float:
    total = 0.0
    while x < 6.0:
        total, x = total + 1.0 / (x * x), x + 1.0
    f = 1.0 / (x * x)
    return total + 1.0 / x + f / 2 + f / x * (1 / 6 - f * (1 / 30 - f / 42))


def _inverse_trigamma(value: float) -> float:
    """By bisection of the logarithm: the function falls from infinity to 0."""
    low, high = 1e-6, 1e9
    for _ in range(100):
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _trigamma(middle) > value else (low, middle)
    return high
