"""How large a row's errors are beside what the model says of them, learned from the row's own probes.

Notation
    tau    scale of a row: root mean square error of its cells, in sd of the factor model
    r_k    what probe k lies above the forecast from all others, in sd        (S,)
    b      root mean square of r over that of the cells, both of left-out rows
    m, s   location and spread of ln tau over left-out rows

ln tau is m + s t, t Student with SCALE_FREEDOM degrees of freedom, so that a row far from all known ones is believed
once its probes say so; r_k / (b tau) is Student too, so that one wild probe is not. The posterior of tau is held on a
grid: the interval of a cell is that of its error averaged over it, narrow where many probes agree and wide where few
speak.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, sqrt

import numpy as np

from forgetcast.completion.types import Floats, Mask

LOG_SCALES = np.linspace(-2.5, 5.0, 76)  # ln tau; steps of a tenth
SCALE_FREEDOM = 4.0
RESIDUAL_FREEDOM = 6.0  # kurtosis 6, as on the published OLMo-7B matrix; 10 on the bundled one
MOST_RESIDUALS = 500  # of a row: its scale is known by then


@dataclass(frozen=True, eq=False)
class ScalePrior:
    """What is known of a row's scale before its probes: m, s and b of the notation."""

    location: float
    spread: float
    probe_ratio: float


@dataclass(frozen=True, eq=False)
class Scales:
    """Scales that an error may have, and their probabilities. (K,) floats each"""

    values: Floats
    weights: Floats


@dataclass(frozen=True, eq=False)
class RowScale:
    """Posterior of a row's scale tau. (K,) floats each; known and unlike sum to 1 together.

    values : of tau; known, unlike : probability of the value and of a row like the known ones, or unlike them
    usual : what tau is in most rows; what it exceeds that by is no noise of single cells
    """

    values: Floats
    known: Floats
    unlike: Floats
    usual: float

    @property
    def typical(self) -> float:
        """Geometric mean: what a standard deviation by the factor model is multiplied with."""
        return exp(float((self.known + self.unlike) @ np.log(self.values)))

    def of_cells(self) -> Scales:
        """Scales of a cell's error."""
        return Scales(self.values, self.known + self.unlike)

    def of_average(self, shared_ratio: float) -> Scales:
        """Scales of an average's error.

        Parameters
        ----------
        shared_ratio : how much larger the error of the average is, at the same error of its cells, where they share a
            pattern that no known row has. In a row like the known ones that holds for what exceeds the usual scale,
            in a row unlike them for all of it
        """
        usual = np.minimum(self.values, self.usual)
        known = np.sqrt(usual**2 + shared_ratio**2 * (self.values**2 - usual**2))
        return Scales(np.concatenate([known, shared_ratio * self.values]), np.concatenate([self.known, self.unlike]))


def row_scale(prior: ScalePrior, residuals: Floats, at_random: Mask, unlike: float) -> RowScale:
    """Posterior of the scale given standardised residuals of the probes.

    Of a row like the known ones only random probes tell the scale, for designed ones are where the model knows most.
    Of a row unlike them all probes do, and nothing is presumed but that it is no smaller than they are.

    Parameters
    ----------
    residuals, at_random : (S,) floats and bools, of all probes
    unlike : probability that the row is unlike the known ones
    """
    place = (LOG_SCALES - prior.location) / prior.spread
    known = -(SCALE_FREEDOM + 1) / 2 * np.log1p(place**2 / SCALE_FREEDOM)
    known += _log_likelihood(residuals[at_random][:MOST_RESIDUALS], prior.probe_ratio)
    vague = np.where(min(prior.location, LOG_SCALES[-1]) <= LOG_SCALES, 0.0, -np.inf)
    vague += _log_likelihood(residuals[:MOST_RESIDUALS], 1.0)
    weights = (1.0 - unlike) * _normalised(known), unlike * _normalised(vague)
    return RowScale(np.exp(LOG_SCALES), *weights, usual=exp(prior.location))


def _log_likelihood(residuals: Floats, probe_ratio: float) -> Floats:
    """Of every scale; 0 without residuals. (K,)"""
    unit = probe_ratio * np.exp(LOG_SCALES) * sqrt((RESIDUAL_FREEDOM - 2) / RESIDUAL_FREEDOM)
    squared = (residuals / unit[:, None]) ** 2
    tails = (RESIDUAL_FREEDOM + 1) / 2 * np.log1p(squared / RESIDUAL_FREEDOM).sum(axis=1)
    return np.asarray(-tails - residuals.size * np.log(unit))


def _normalised(log_density: Floats) -> Floats:
    weights = np.exp(log_density - log_density.max())
    return np.asarray(weights / weights.sum())
