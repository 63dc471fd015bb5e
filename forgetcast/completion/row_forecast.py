"""A task's completed row: what was measured, what is predicted, and how sure of it the forecast is.

Notation
    mean, sd, low, high   of every cell              (N,)  nats per token
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forgetcast.completion.arguments import positions_of, real_number
from forgetcast.completion.highest import highest
from forgetcast.completion.metrics import TOP_SHARE
from forgetcast.completion.models.factor_model import Posterior
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.averages import Groups, average_errors, level_variance
from forgetcast.completion.uncertainty.calibration import ExpectedErrors
from forgetcast.completion.uncertainty.error_shape import error_probability, error_quantile
from forgetcast.completion.uncertainty.probe_mean import (
    FEWEST_IN_PART,
    FEWEST_PROBES,
    Interval,
    mean_by_probes,
    share_by_probes,
)
from forgetcast.completion.uncertainty.row_scale import RowScale, Scales
from forgetcast.errors import OutOfRange

TOP_CELLS = 8192  # that tell where the highest forecasts begin


@dataclass(frozen=True, eq=False)
class ProbedCells:
    """Measured cells beside what the others say of them. (S,) each

    positions ; forgetting, nats per token
    left_out, left_out_sd : forecast from all other probes and its sd by the factor model, nats per token
    at_random : which of them were drawn at random
    """

    positions: Indices
    forgetting: Floats
    left_out: Floats
    left_out_sd: Floats
    at_random: Mask

    @property
    def residuals(self) -> Floats:
        """What was measured less what the others said, nats per token. (S,)"""
        return self.forgetting - self.left_out


@dataclass(frozen=True, eq=False)
class RowForecast:
    """Completed row. Arrays are (N,), in the order of the upstream set; nats per token.

    mean, sd, low, high : measured cells as measured, with sd 0 and low = high = mean
    measured : which cells were measured
    calibrated : which cells' intervals are vouched for: all, or only the measured ones of a row unlike all known ones
    unlike_known : the probes say that the row is unlike all known ones; None where they, or the known rows, are too few
        to say. Of a row unlike them only ``mean_interval`` is vouched for beside what was measured
    level : share of cells that the intervals are meant to cover
    """

    mean: Floats
    sd: Floats
    low: Floats
    high: Floats
    measured: Mask
    calibrated: Mask
    unlike_known: bool | None
    level: float
    posterior: Posterior
    scale: RowScale
    errors: ExpectedErrors
    probed: ProbedCells

    @property
    def row_mean(self) -> Interval:
        """Mean of the whole row from the joint predictive: cells share their errors."""
        return self._averages(Groups.whole(self.mean.size), self.errors.row_shape)[0]

    def mean_of(self, positions: Indices) -> Interval:
        """Mean of most of a row, as ``row_mean`` is that of the whole of it.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind
        """
        positions = positions_of("The positions", positions, self.mean.size)
        return self._averages(Groups.of([positions]), self.errors.row_shape)[0]

    def summary(self, groups: Mapping[str, Indices]) -> dict[str, Interval]:
        """Mean of every group of positions (a domain's, say) from the joint predictive; empty groups are left out."""
        found = {name: positions_of(f"The positions of {name!r}", of, self.mean.size) for name, of in groups.items()}
        found = {name: positions for name, positions in found.items() if positions.size}
        if not found:
            return {}
        averages = self._averages(Groups.of(list(found.values())), self.errors.domain_shape)
        return dict(zip(found, averages, strict=True))

    def mean_interval(self, positions: Indices | None = None) -> Interval | None:
        """Mean of the row, or of some positions, that holds whatever the model gets wrong: by the random probes.

        None where too few of these are at hand: two for the row, five for a part of it.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind
        """
        among, inside = self._part(positions)
        if among is None:
            return None
        residuals = self.probed.residuals[inside]
        unmeasured = int(np.count_nonzero(~self.measured[among]))
        return mean_by_probes(float(self.mean[among].mean()), unmeasured, among.size, residuals, self.level)

    def share_above(self, limit: float, positions: Indices | None = None) -> Interval | None:
        """Share of the row's examples, or of some positions, forgotten by more than a limit (nats per token).

        Like ``mean_interval`` it holds whatever the model gets wrong, and is None where that is.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind
        OutOfRange
            if the limit is not a finite number
        """
        limit = real_number("The limit", limit)
        if not np.isfinite(limit):
            raise OutOfRange("The limit must be a finite number.")
        among, inside = self._part(positions)
        if among is None:
            return None
        measured = self.measured[among]
        unmeasured = among[~measured]
        sd = np.sqrt(self.posterior.variance[unmeasured])
        probed = self.probed
        beyond = self._probability_above(limit, self.mean[unmeasured], sd)
        return share_by_probes(
            int(np.count_nonzero(self.mean[among[measured]] > limit)),
            float(beyond.sum()),
            unmeasured.size,
            among.size,
            (probed.forgetting[inside] > limit).astype(np.float64),
            self._probability_above(limit, probed.left_out[inside], probed.left_out_sd[inside]),
            self.level,
        )

    def probability_above(self, limit: float, positions: Indices) -> Floats:
        """How probable it is, by the model, that each of these cells is forgotten by more than a limit. (K,)

        Parameters
        ----------
        positions : (K,) ints, distinct
        limit : nats per token; of a measured cell it is 1 above it and 0 below

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind
        """
        limit = real_number("The limit", limit)
        positions = positions_of("The positions", positions, self.mean.size)
        mean, known = self.mean[positions], self.measured[positions]
        sd = np.where(known, 1.0, np.sqrt(self.posterior.variance[positions]))
        return np.where(known, mean > limit, self._probability_above(limit, mean, sd))

    def top(self, k: int, among: Mask | None = None) -> Indices:
        """Positions of the k highest means, highest first, ties in order of position; fewer if there are fewer.

        Raises
        ------
        OutOfRange
            if k is negative
        WrongKind, WrongShape
        """
        return highest(self.mean, k, among)

    def _averages(self, groups: Groups, shape: Floats) -> list[Interval]:
        errors = average_errors(self.posterior, groups, self.level_variance)
        means = groups.sums(self.mean) / groups.sizes
        return [
            Interval(mean, *(mean + sd * quantile for quantile in self._quantiles(shape, self.scale.of_average(ratio))))
            for mean, sd, ratio in zip(means.tolist(), errors.sd.tolist(), errors.shared_ratio.tolist(), strict=True)
        ]

    @cached_property
    def level_variance(self) -> float:
        """How well random probes alone tell the row's level, in units of its scale."""
        return level_variance(self.posterior, self.probed.residuals[self.probed.at_random], self.scale.typical)

    def _quantiles(self, shape: Floats, scales: Scales) -> tuple[float, float]:
        """Where an error's interval ends, in sd by the factor model."""
        tail = (1 - self.level) / 2
        return error_quantile(shape, scales, tail), error_quantile(shape, scales, 1 - tail)

    def _probability_above(self, limit: float, mean: Floats, sd: Floats) -> Floats:
        return 1.0 - error_probability(self.errors.cell_shape, self.scale.of_cells(), (limit - mean) / sd)

    def _part(self, positions: Indices | None) -> tuple[Indices | None, Mask]:
        """Positions of the row or a part of it, None with too few random probes, and which probes are those."""
        if positions is None:
            among = np.arange(self.mean.size, dtype=np.intp)
            inside, fewest = self.probed.at_random, FEWEST_PROBES
        else:
            among = positions_of("The positions", positions, self.mean.size)
            inside, fewest = self.probed.at_random & np.isin(self.probed.positions, among), FEWEST_IN_PART
        return (among if np.count_nonzero(inside) >= fewest else None), inside


def make_row_forecast(
    posterior: Posterior,
    scale: RowScale,
    errors: ExpectedErrors,
    level: float,
    unlike: bool | None,
    probed: ProbedCells,
) -> RowForecast:
    """Turn the posterior and the row's scale into intervals of this level.

    The 5% highest forecasts have errors of their own: they are the highest in part because they err.
    """
    sd = np.sqrt(posterior.variance)
    cells, tail = scale.of_cells(), (1 - level) / 2
    low, high = (posterior.mean + error_quantile(errors.cell_shape, cells, p) * sd for p in (tail, 1 - tail))
    top = highest_forecasts(posterior.mean, posterior.measured)
    low[top], high[top] = (
        posterior.mean[top] + error_quantile(errors.top_shape, cells, p) * sd[top] for p in (tail, 1 - tail)
    )
    return RowForecast(
        mean=posterior.mean,
        sd=scale.typical * sd,
        low=low,
        high=high,
        measured=posterior.measured,
        calibrated=posterior.measured.copy() if unlike else np.ones(posterior.mean.size, dtype=np.bool_),
        unlike_known=unlike,
        level=level,
        posterior=posterior,
        scale=scale,
        errors=errors,
        probed=probed,
    )


def highest_forecasts(mean: Floats, measured: Mask) -> Indices:
    """About the 5% highest forecasts among the cells that were not measured, at least one; none if there is none.

    Where they begin is found from TOP_CELLS of them, evenly over a wider row: sorting all would cost as much as the
    rest.
    """
    every = slice(None, None, max(1, mean.size // TOP_CELLS))
    pool = mean[every][~measured[every]]
    if pool.size == 0:
        return np.zeros(0, dtype=np.intp)
    k = max(1, round(TOP_SHARE * pool.size))
    highest = np.flatnonzero(mean >= np.partition(pool, pool.size - k)[pool.size - k])
    return highest[~measured[highest]]
