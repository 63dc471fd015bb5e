"""How much of what is forecast to be forgotten more replay would cover.

Notation
    k         examples that are replayed, the highest forecasts first
    covered   their forecast forgetting over that of all examples that are forgotten    share
    marginal  mean forecast of the examples that the dose before did not have           nats per token

What replaying prevents is another question: a replayed example holds others up, and only training says how many.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.types import Floats, Indices


@dataclass(frozen=True)
class Dose:
    """`covered` is None where no example is forecast to be forgotten."""

    size: int
    covered: float | None
    marginal: float


def dose_curve(mean: Floats, sizes: Sequence[int]) -> list[Dose]:
    """Doses of rising size, of the examples that may be replayed: (N,) forecasts; sizes beyond N are left out."""
    descending = np.sort(mean)[::-1]
    gained = np.cumsum(np.maximum(descending, 0.0))
    doses: list[Dose] = []
    before = 0
    for size in sorted({size for size in sizes if 0 < size <= mean.size}):
        covered = float(gained[size - 1] / gained[-1]) if gained[-1] > 0 else None
        doses.append(Dose(size, covered, float(descending[before:size].mean())))
        before = size
    return doses


def kept_gain(mean: Floats, chosen: Indices, eligible: Indices) -> float | None:
    """What a drawn set keeps of what the highest forecasts gain over an even draw: 1 for the highest, 0 for even.

    None where there is nothing to gain. `mean` (N,), `chosen` and `eligible` positions in it.
    """
    even = float(mean[eligible].mean()) * chosen.size
    best = float(np.sort(mean[eligible])[::-1][: chosen.size].sum())
    if best - even <= 1e-12 * max(1.0, abs(best)):
        return None
    return (float(mean[chosen].sum()) - even) / (best - even)
