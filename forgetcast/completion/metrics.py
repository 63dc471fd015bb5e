"""How far a forecast is from the truth.

Notation
    truth, forecast  the scored cells of one row                  (n,)  nats per token
    k                the truly highest 5% of them, at least one
"""

from __future__ import annotations

from collections.abc import Callable
from math import comb

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.types import Floats

TOP_SHARE = 0.05
BOOTSTRAP_DRAWS = 2000
LEAST_SQUARE = 1e-300  # added to sums of squared errors, whose logarithm is taken


def rmse(forecast: Floats, truth: Floats) -> float:
    """Root mean square error; NaN without cells."""
    return float(np.sqrt(np.mean((forecast - truth) ** 2))) if truth.size else float("nan")


def recall(forecast: Floats, truth: Floats) -> float:
    """Share of the truly highest 5% found in the forecast's highest 5%; ties by position; NaN without cells."""
    if truth.size == 0:
        return float("nan")
    k = max(1, round(TOP_SHARE * truth.size))
    wanted = np.argsort(-truth, kind="stable")[:k]
    found = np.argsort(-forecast, kind="stable")[:k]
    return float(np.isin(wanted, found).mean())


def spearman(forecast: Floats, truth: Floats) -> float:
    """Rank correlation, ties sharing their mean rank; 0 when either is constant, NaN without cells."""
    if truth.size == 0:
        return float("nan")
    a, b = ranks(forecast), ranks(truth)
    a, b = a - a.mean(), b - b.mean()
    norm = float(np.sqrt((a @ a) * (b @ b)))
    return float(a @ b) / norm if norm > 0 else 0.0


def ranks(values: Floats) -> Floats:
    """Ranks from 0, ties sharing their mean. (n,)"""
    distinct, place, counts = np.unique(values, return_inverse=True, return_counts=True)
    del distinct
    last = np.cumsum(counts)
    return np.asarray((last - (counts + 1) / 2)[place], dtype=np.float64)


def coverage(low: Floats, high: Floats, truth: Floats) -> float:
    """Share of cells whose truth lies in its interval; NaN without cells."""
    return float(np.mean((low <= truth) & (truth <= high))) if truth.size else float("nan")


def error_ratio_interval(squared: Floats, other: Floats, seed: int, level: float = 0.9) -> tuple[float, float, float]:
    """Geometric mean over tasks of one RMSE over another, with a bootstrap interval: value, low, high.

    Tasks are resampled, and independently the draws of the probes, the same for every task, for designed probes are
    the same. Of D draws D - 1 are taken: their mean then varies as that of D draws does. A single draw says nothing of
    others, and the interval is that of the tasks.

    Parameters
    ----------
    squared, other : (T, D) floats, squared errors of every task and draw, added up over the same cells

    Source: Owen (2007), The pigeonhole bootstrap; McCarthy and Snowden (1985), The Bootstrap and Finite Population
    Sampling, for D - 1.
    """
    n_tasks, n_draws = squared.shape
    draws = Draws(seed)
    tasks = draws.integers(BOOTSTRAP_DRAWS * n_tasks, n_tasks).reshape(BOOTSTRAP_DRAWS, n_tasks)
    taken = np.ones((BOOTSTRAP_DRAWS, n_draws))
    if n_draws > 1:
        chosen = draws.integers(BOOTSTRAP_DRAWS * (n_draws - 1), n_draws).reshape(BOOTSTRAP_DRAWS, n_draws - 1)
        taken = np.sum(chosen[:, :, None] == np.arange(n_draws), axis=1, dtype=np.float64)
    log_ratios = _log_ratios(squared, other, taken)
    means = np.take_along_axis(log_ratios, tasks, axis=1).mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    value = _log_ratios(squared, other, np.ones((1, n_draws))).mean()
    return float(np.exp(value)), float(np.exp(low)), float(np.exp(high))


def _log_ratios(squared: Floats, other: Floats, taken: Floats) -> Floats:
    """ln of the ratio of errors, of every resample and task, for (R, D) numbers of times that a draw is taken; 0 where
    both are exact. (R, T)
    """
    return np.asarray(0.5 * (np.log(taken @ squared.T + LEAST_SQUARE) - np.log(taken @ other.T + LEAST_SQUARE)))


def binomial_interval(successes: int, trials: int, level: float = 0.9) -> tuple[float, float]:
    """Exact interval of a share (Clopper and Pearson, 1934)."""
    tail = (1 - level) / 2
    low = _root(lambda p: _at_least(successes, trials, p) - tail) if successes > 0 else 0.0
    high = _root(lambda p: tail - (1 - _at_least(successes + 1, trials, p))) if successes < trials else 1.0
    return low, high


def _at_least(successes: int, trials: int, p: float) -> float:
    return sum(comb(trials, k) * p**k * (1 - p) ** (trials - k) for k in range(successes, trials + 1))


def _root(increasing: Callable[[float], float]) -> float:
    """Zero of an increasing function on [0, 1], by bisection."""
    low, high = 0.0, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if increasing(middle) < 0 else (low, middle)
    return (low + high) / 2
