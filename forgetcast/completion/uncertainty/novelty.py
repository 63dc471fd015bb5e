"""Whether a row is like the known ones: how much better a row without their pattern explains its probes.

Notation
    y     deviation of the probes from the column means                    (S,)  nats per token
    B, V  loadings and noise of the probed columns                         (R, S), (S,)
    c     variance of a typical cell: its factors' and its noise           squared nats per token
    a     variance of the row shift
    tau   scale of the row

Known:    y ~ N(0, tau^2 (B'B + V)) or N(0, B'B + tau^2 V), tau as left-out rows have it
Unlike:   y ~ N(0, tau^2 (c I + a 11')), ln tau even over 0 to LARGEST: no pattern, and as large as any known row

Novelty is the logarithm of the ratio of the two likelihoods. A large row of the known pattern is no novelty, and
neither is a small one without it. What counts as novel is learned from left-out rows.

Source: Kass and Raftery (1995), Bayes factors.
"""

from __future__ import annotations

import numpy as np

from forgetcast.completion.models.factor_model import FactorModel, ProbedRow
from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.row_scale import ScalePrior

FEWEST_PROBES = 3  # that can say whether a row is like the known ones
LARGEST = 3.5  # of ln tau of a row unlike the known ones
GRID = 21  # values of ln tau that are averaged over


def novelty(model: FactorModel, row: ProbedRow, prior: ScalePrior) -> float:
    """Logarithm of the Bayes factor of a row unlike the known ones against one like them."""
    within = prior.location + prior.spread * np.linspace(-3.0, 3.0, GRID)
    prior_density = -0.5 * ((within - prior.location) / prior.spread) ** 2
    known = np.concatenate([prior_density + _scaled(row, within), prior_density + _scaled_noise(row, within)])
    beyond = np.linspace(0.0, LARGEST, GRID)
    return _log_mean(_without_pattern(model, row, beyond)) - _log_mean(known)


def _scaled(row: ProbedRow, log_scale: Floats) -> Floats:
    """ln N(y; 0, tau^2 (B'B + V)) at every scale, without the constant."""
    solved = (row.deviation - row.w @ row.loadings) / row.noise
    squared = float(row.deviation @ solved)
    log_determinant = float(np.log(row.noise).sum()) - 2 * float(np.log(np.abs(np.diag(row.root))).sum())
    scores: Floats = -0.5 * squared * np.exp(-2 * log_scale) - 0.5 * log_determinant - row.probes.size * log_scale
    return scores


def _scaled_noise(row: ProbedRow, log_scale: Floats) -> Floats:
    """ln N(y; 0, B'B + tau^2 V) at every scale, without the constant."""
    values, vectors = np.linalg.eigh((row.loadings / row.noise) @ row.loadings.T)
    values = np.maximum(values, 0.0)
    along = vectors.T @ (row.loadings @ (row.deviation / row.noise))
    variance = np.exp(2 * log_scale)[:, None]
    squared = float(row.deviation @ (row.deviation / row.noise)) / variance[:, 0]
    squared = squared - np.sum(along**2 / (variance**2 * (1.0 + values / variance)), axis=1)
    log_determinant = np.log1p(values / variance).sum(axis=1) + float(np.log(row.noise).sum())
    scores: Floats = -0.5 * squared - 0.5 * log_determinant - row.probes.size * log_scale
    return scores


def _without_pattern(model: FactorModel, row: ProbedRow, log_scale: Floats) -> Floats:
    """ln N(y; 0, tau^2 (c I + a 11')) at every scale, without the constant."""
    n, shift_variance, cell = row.probes.size, float(model.loadings[0, 0]) ** 2, model.cell_variance
    squared = float(row.deviation @ row.deviation) / cell
    squared -= shift_variance * float(row.deviation.sum()) ** 2 / (cell * (cell + n * shift_variance))
    log_determinant = n * np.log(cell) + np.log1p(n * shift_variance / cell)
    scores: Floats = -0.5 * squared * np.exp(-2 * log_scale) - 0.5 * log_determinant - n * log_scale
    return scores


def _log_mean(logs: Floats) -> float:
    highest = float(logs.max())
    return highest + float(np.log(np.mean(np.exp(logs - highest))))
