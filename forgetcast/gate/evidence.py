"""What is known of a metric's value: how surely it lies over a limit, and how surely not.

Notation
    a   error probability that may be spent on one side
    n   drawn rows
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import floor, inf, sqrt
from typing import Protocol

import numpy as np

from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.probe_mean import Interval

STEADY = 1.96  # of the 95% interval of a share of draws (Wilson, 1927)
LEAST_TAIL, BISECTIONS = 1e-6, 40


class Evidence(Protocol):
    """Of one metric of one row, or of its difference from another row's."""

    @property
    def value(self) -> float:
        """The most plausible value."""

    @property
    def certain(self) -> bool:
        """Whether the value is known: every cell was measured."""

    def interval(self, a: float) -> tuple[float, float]:
        """What holds the value but for a on either side."""

    def doubt_under(self, limit: float) -> float:
        """Smallest a at which the value is said to lie under the limit, or on it."""

    def doubt_over(self, limit: float) -> float:
        """Smallest a at which the value is said to lie over the limit."""


@dataclass(frozen=True)
class Certain:
    """Everything was measured."""

    value: float
    certain: bool = True

    def interval(self, a: float) -> tuple[float, float]:
        return self.value, self.value

    def doubt_under(self, limit: float) -> float:
        return 0.0 if self.value <= limit else 1.0

    def doubt_over(self, limit: float) -> float:
        return 1.0 - self.doubt_under(limit)


class Drawn:
    """The metric of n drawn rows. The truth is taken for one row more, so that no doubt is smaller than 1 / (n + 1)."""

    certain = False

    def __init__(self, draws: Floats) -> None:
        self._sorted = np.sort(draws)

    @property
    def value(self) -> float:
        return float(np.median(self._sorted))

    def interval(self, a: float) -> tuple[float, float]:
        beyond = floor(a * (self._sorted.size + 1) + 1e-9) - 1  # draws that may lie beyond either end
        if beyond < 0:
            return -inf, inf
        return float(self._sorted[beyond]), float(self._sorted[-1 - beyond])

    def doubt_under(self, limit: float) -> float:
        return (self._n_over(limit) + 1) / (self._sorted.size + 1)

    def doubt_over(self, limit: float) -> float:
        return (self._sorted.size - self._n_over(limit) + 1) / (self._sorted.size + 1)

    def is_steady(self, limit: float, a: float, smallest: float) -> bool:
        """Whether more draws would hardly change what is said at a, or over the limit at any level down to smallest."""
        n, n_over = self._sorted.size, self._n_over(limit)
        under_low, under_high = _share_interval(n_over, n)
        over_low, over_high = _share_interval(n - n_over, n)
        return (under_high <= a or under_low >= a) and (over_high <= smallest or over_low >= a)

    def _n_over(self, limit: float) -> int:
        return int(self._sorted.size - np.searchsorted(self._sorted, limit, side="right"))


@dataclass(frozen=True, eq=False)
class ByProbes:
    """The random probes' own interval, which rests on nothing that the model says; `at` gives it by level."""

    at: Callable[[float], Interval]
    certain: bool = False

    @property
    def value(self) -> float:
        return self.at(0.5).mean

    def interval(self, a: float) -> tuple[float, float]:
        found = self.at(1.0 - 2.0 * a)
        return found.low, found.high

    def doubt_under(self, limit: float) -> float:
        return _smallest(lambda a: self.interval(a)[1] <= limit)

    def doubt_over(self, limit: float) -> float:
        return _smallest(lambda a: self.interval(a)[0] > limit)


def _smallest(holds: Callable[[float], bool]) -> float:
    """The smallest a at which something holds that holds from there on, 1 for none below a half."""
    if not holds(0.499):
        return 1.0
    if holds(LEAST_TAIL):
        return LEAST_TAIL
    low, high = LEAST_TAIL, 0.499
    for _ in range(BISECTIONS):
        middle = sqrt(low * high)
        low, high = (low, middle) if holds(middle) else (middle, high)
        if high < 1.001 * low:
            break
    return high


def _share_interval(count: int, n: int) -> tuple[float, float]:
    """Interval of a share of draws."""
    square = STEADY**2
    centre = (count + square / 2) / (n + square)
    width = STEADY / (n + square) * sqrt(count * (n - count) / n + square / 4)
    return centre - width, centre + width
