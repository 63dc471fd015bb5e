"""A task's completed row: what was measured, what is predicted, and how sure of it the forecast is.

Notation
    mean, sd, low, high   of every cell              (N,)  nats per token
    scale                 the row's own factor on sd
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from forgetcast.completion.arguments import mask_of, positions_of, whole_number
from forgetcast.completion.calibration import Calibration, student_quantile
from forgetcast.completion.factor_model import Posterior
from forgetcast.completion.types import Floats, Indices, Mask


class Interval(NamedTuple):
    """An average of cells, nats per token."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class RowForecast:
    """Completed row. Arrays are (N,), in the order of the upstream set; nats per token.

    mean, sd, low, high : measured cells as measured, with sd 0 and low = high = mean
    measured : which cells were measured
    promised : which cells' intervals are vouched for: all, or only the measured ones of a row unlike all known ones
    unlike_known : the probes are improbable under the model; then only ``random_mean`` is promised beside what was
        measured
    random_mean : mean of the row by its random probes alone, whatever the model says; None below two of them
    level : share of cells that the intervals are meant to cover
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    measured: Mask
    promised: Mask
    unlike_known: bool
    random_mean: Interval | None
    level: float
    posterior: Posterior
    average_half_width: float  # in sd of the average

    @property
    def row_mean(self) -> Interval:
        """Mean of the whole row from the joint predictive: cells share their errors."""
        return self._average(np.arange(self.mean.size, dtype=np.intp))

    def summary(self, groups: Mapping[str, Indices]) -> dict[str, Interval]:
        """Mean of every group of positions (a domain's, say) from the joint predictive; empty groups are left out."""
        found = {name: positions_of(f"The positions of {name!r}", of, self.mean.size) for name, of in groups.items()}
        return {name: self._average(positions) for name, positions in found.items() if positions.size}

    def top(self, k: int, among: Mask | None = None) -> Indices:
        """Positions of the k highest means, highest first, ties in order of position; fewer if there are fewer.

        Raises
        ------
        OutOfRange
            if k is negative
        WrongKind, WrongShape
        """
        pool = np.arange(self.mean.size, dtype=np.intp)
        if among is not None:
            pool = pool[mask_of("The mask of examples to choose among", among, self.mean.size)]
        k = min(whole_number("The number of examples", k), pool.size)
        if k == 0:
            return pool[:0]
        mean = self.mean[pool]
        kth = np.partition(mean, pool.size - k)[pool.size - k]
        found = np.flatnonzero(mean >= kth)  # ties at the edge included, in order of position
        return pool[found[np.argsort(-mean[found], kind="stable")[:k]]]

    def _average(self, positions: Indices) -> Interval:
        _, variance = self.posterior.average(positions)
        mean = float(self.mean[positions].mean())
        half = self.average_half_width * float(np.sqrt(variance))
        return Interval(mean, mean - half, mean + half)


def make_row_forecast(
    posterior: Posterior,
    scale: float,
    calibration: Calibration,
    level: float,
    improbability: float,
    random_cells: Floats,
) -> RowForecast:
    """Scale the posterior to the row, turn sds into intervals of this level, and flag a row unlike all known ones.

    Parameters
    ----------
    scale : the row's own factor on every sd
    improbability : of its probes, to compare with left-out rows
    random_cells : measured values of the probes that were drawn at random, nats per token
    """
    n_probes = int(posterior.measured.sum())
    sd = scale * np.sqrt(posterior.variance)
    half = calibration.cell_half_width(level, n_probes) * sd
    unlike = calibration.is_unlike(improbability, n_probes)
    return RowForecast(
        mean=posterior.mean,
        sd=sd,
        low=posterior.mean - half,
        high=posterior.mean + half,
        measured=posterior.measured,
        promised=posterior.measured.copy() if unlike else np.ones(posterior.mean.size, dtype=np.bool_),
        unlike_known=unlike,
        random_mean=_sample_mean(random_cells, level),
        level=level,
        posterior=posterior,
        average_half_width=scale * calibration.average_half_width(level, n_probes),
    )


def _sample_mean(cells: Floats, level: float) -> Interval | None:
    """Student interval of a mean from a random sample."""
    if cells.size < 2:
        return None
    mean, half = float(cells.mean()), student_quantile(level, cells.size - 1) * float(cells.std(ddof=1))
    return Interval(mean, mean - half / cells.size**0.5, mean + half / cells.size**0.5)
