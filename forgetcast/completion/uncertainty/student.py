"""Student's t distribution, exactly and for any degrees of freedom; numpy has none.

Notation
    t   a Student variable      nu  degrees of freedom, positive, need not be whole
    I   regularised incomplete beta function: P(|t| > x) = I(nu / (nu + x^2); nu / 2, 1 / 2)

Source: Lentz's continued fraction for I (Numerical Recipes, section 6.4); Abramowitz and Stegun, 26.7.1.
"""

from __future__ import annotations

from functools import lru_cache
from math import exp, inf, lgamma, log, log1p
from statistics import NormalDist

from forgetcast.errors import OutOfRange

TINY = 1e-300
LARGE_FREEDOM = 1e7  # beyond, the Gaussian is the same to nine digits


@lru_cache(maxsize=4096)
def student_quantile(probability: float, freedom: float) -> float:
    """The value that a Student variable stays below with this probability.

    Raises
    ------
    OutOfRange
        if the probability lies outside (0, 1) or the degrees of freedom are not positive
    """
    if not 0.0 < probability < 1.0:
        raise OutOfRange(f"Probability {probability} must lie strictly between 0 and 1.")
    if not freedom > 0.0:
        raise OutOfRange(f"Degrees of freedom {freedom} must be positive.")
    if freedom > LARGE_FREEDOM:
        return NormalDist().inv_cdf(probability)
    tail = 2.0 * min(probability, 1.0 - probability)
    if tail == 1.0:
        return 0.0
    low, high = 0.0, 1.0
    while two_sided_tail(high, freedom) > tail:
        low, high = high, 2.0 * high
    while high - low > 1e-14 * high:
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if two_sided_tail(middle, freedom) > tail else (low, middle)
    return high if probability > 0.5 else -high


def central_quantile(level: float, freedom: float = inf) -> float:
    """Half-width, in standard units, of the central interval of this level; Gaussian without degrees of freedom.

    Raises
    ------
    OutOfRange
        if the level lies outside (0, 1)
    """
    if not 0.0 < level < 1.0:
        raise OutOfRange(f"Level {level} must lie strictly between 0 and 1.")
    return student_quantile(0.5 + level / 2, freedom)


def two_sided_tail(value: float, freedom: float) -> float:
    """P(|t| > value), for a value that is not negative."""
    square = value * value
    return _incomplete_beta(freedom / (freedom + square), freedom / 2, 0.5)


def _incomplete_beta(x: float, a: float, b: float) -> float:
    """I(x; a, b), from whichever end the continued fraction converges fast."""
    if x <= 0.0 or x >= 1.0:
        return 0.0 if x <= 0.0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1.0) / (a + b + 2.0):
        return front * _fraction(x, a, b) / a
    return 1.0 - front * _fraction(1.0 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """Lentz's evaluation of the continued fraction."""
    c, d = 1.0, 1.0 / _not_zero(1.0 - (a + b) * x / (a + 1.0))
    value = d
    for m in range(1, 300):
        even = m * (b - m) * x / ((a + 2 * m - 1.0) * (a + 2 * m))
        d, c = 1.0 / _not_zero(1.0 + even * d), _not_zero(1.0 + even / c)
        value *= d * c
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1.0))
        d, c = 1.0 / _not_zero(1.0 + odd * d), _not_zero(1.0 + odd / c)
        value *= d * c
        if abs(d * c - 1.0) < 1e-14:
            break
    return value


def _not_zero(value: float) -> float:
    return value if abs(value) > TINY else TINY
