"""What the random probes of a row alone promise: its mean, that of a part, and the share of examples above a limit.

Notation
    K, U  examples of the row or the part, and those of them that were not measured
    n     random probes among them
    f_k   forecast of probe k from all other probes              nats per token
    d_k   what was measured there, less f_k                       nats per token
    mean  of the K, each as measured or forecast, plus U / K times the mean of d

The difference estimator: where the forecast is good, d is small and so is the interval; where it is bad, d has the
errors' own spread, and only the random draw is relied on. Forgetting has one long tail, under which Student's interval
misses four times out of five on that side; the bootstrap of the Student ratio moves both ends. A tail that no probe has
met cannot be known by it.

Source: Särndal, Swensson and Wretman, Model Assisted Survey Sampling, section 6.3, for the estimator; Hall (1992), The
Bootstrap and Edgeworth Expansion, section 3.5, for the ratio; Clopper and Pearson (1934) for shares.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.metrics import binomial_interval
from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.student import student_quantile

FEWEST_PROBES = 2  # random ones, of an interval for the row
FEWEST_IN_PART = 5  # of an interval for a part of it
FEWEST_RESAMPLED = 5  # below, resamples of a few values are mostly of one or two
# d is a little too small, for the neighbours of a row are found with the probe among the others: at S = 30, all random,
# left-out tasks of the bundled matrix are covered .84 without it and .90 with it, at nominal .90.
WIDENING = 1.15
RESAMPLES = 999
STEADY = 0.95  # quantiles of the ratio are resampled up to here on either side; beyond, Student's are stretched alike
LEAST_SPREAD = 0.05  # of a resample beside the sample's, which one value alone does not have
LEAST_OF_STUDENT = 0.9  # that either side of the ratio keeps of Student's quantile
SEED = 0


class Interval(NamedTuple):
    """An average of cells, nats per token, or a share of them."""

    mean: float
    low: float
    high: float


def mean_by_probes(filled_mean: float, n_unmeasured: int, size: int, residuals: Floats, level: float) -> Interval:
    """Mean of a row, or of a part, corrected by what its random probes lie above their own forecasts.

    Parameters
    ----------
    filled_mean : of its cells, each as measured or forecast, nats per token
    n_unmeasured, size : U, K
    residuals : (n,) floats, d, nats per token; n at least 2
    """
    if n_unmeasured == 0:
        return Interval(filled_mean, filled_mean, filled_mean)
    n = residuals.size
    centre = filled_mean + n_unmeasured / size * float(residuals.mean())
    deviation = WIDENING * float(residuals.std(ddof=1)) * (1 / n + 1 / n_unmeasured) ** 0.5 * n_unmeasured / size
    low, high = _ratio_quantiles(residuals, level)
    return Interval(centre, centre - high * deviation, centre - low * deviation)


def share_by_probes(
    n_above_measured: int,
    expected_unmeasured: float,
    n_unmeasured: int,
    size: int,
    above: Floats,
    expected: Floats,
    level: float,
) -> Interval:
    """Share of examples above a limit. The interval is exact and rests on the random probes alone.

    Parameters
    ----------
    n_above_measured : measured examples above the limit
    expected_unmeasured : how many of the others the forecast expects above it
    n_unmeasured, size : U, K
    above, expected : (n,) floats, of every random probe: 1 if it lies above, and how probable the others made that
    """
    low, high = binomial_interval(int(above.sum()), above.size, level)
    corrected = expected_unmeasured + n_unmeasured * float(np.mean(above - expected))
    corrected = min(max(corrected, low * n_unmeasured), high * n_unmeasured)
    counts = (n_above_measured + count for count in (corrected, low * n_unmeasured, high * n_unmeasured))
    return Interval(*(count / size for count in counts))


def _ratio_quantiles(residuals: Floats, level: float) -> tuple[float, float]:
    """Low and high quantile of (sample mean - mean) / (sd / sqrt n), skewed as the residuals are."""
    n = residuals.size
    student = student_quantile(0.5 + level / 2, n - 1)
    spread = float(residuals.std(ddof=1))
    if n < FEWEST_RESAMPLED or not spread > 0.0:
        return -student, student
    drawn = residuals[Draws(SEED).integers(RESAMPLES * n, n)].reshape(RESAMPLES, n)
    own = np.maximum(drawn.std(axis=1, ddof=1), LEAST_SPREAD * spread)
    ratio = (drawn.mean(axis=1) - residuals.mean()) / (own / n**0.5)
    steady = min(0.5 + level / 2, STEADY)
    low, high = np.quantile(ratio, [1.0 - steady, steady]) * (student / student_quantile(steady, n - 1))
    return min(float(low), -LEAST_OF_STUDENT * student), max(float(high), LEAST_OF_STUDENT * student)
