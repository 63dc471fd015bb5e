"""Choices made by leaving known rows out: noise share, doubt of the loadings, and what errors to expect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.methods.method import Method
from forgetcast.completion.models.factor_model import condition, posterior
from forgetcast.completion.models.local_model import combine
from forgetcast.completion.models.mean_forecast import MeanForecast
from forgetcast.completion.selection.probes import random_probes
from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.calibration import Calibration, calibrate, usual_calibration
from forgetcast.completion.validation.left_out import (
    LeftOutFit,
    left_out_fits,
    left_out_forecasts,
    left_out_rows,
    randomly_probed,
)

NOISE_SHARES = (0.1, 0.25, 0.4, 0.6, 0.7, 0.8, 0.9)
USUAL_NOISE_SHARE = 0.8  # where too few rows are known to choose
INDIFFERENCE = 0.003  # of RMSE: among shares this close to the best the largest is taken, for rows unlike the known
DOUBTS = (0.0, 0.03, 0.06, 0.1, 0.15, 0.25)  # shares of the factors' variance that may be taken for noise
USUAL_DOUBT = 0.03
PROBE_COUNTS = (10, 30)  # that noise share and doubt are chosen at
FEWEST_ROWS = 4  # known: with fewer, what is left says nothing about choices
MOST_COLUMNS = 1024  # columns that choices look at; a random subset of a wider matrix
TAIL_FREEDOM = 6.0  # of the Student errors that doubt is judged by


@dataclass(frozen=True, eq=False)
class Choices:
    noise_share: float
    doubt: float
    calibration: Calibration


def choose(matrix: ForgettingMatrix, method: Method, seed: int) -> Choices:
    """Noise share, doubt and calibration for these known rows; the usual ones below four."""
    if matrix.n_tasks < FEWEST_ROWS:
        return Choices(USUAL_NOISE_SHARE, USUAL_DOUBT, usual_calibration(matrix.n_tasks))
    if matrix.n_examples > MOST_COLUMNS:
        matrix = matrix.with_examples(np.sort(random_probes(matrix.n_examples, MOST_COLUMNS, seed)))
    fits = left_out_fits(matrix, method, USUAL_NOISE_SHARE, seed)
    share = _best_noise_share(matrix, fits, seed) if method.combines_rows else USUAL_NOISE_SHARE
    fits = [fit.with_noise_share(share) for fit in fits]
    doubt = _best_doubt(matrix, fits, seed)
    fits = [fit.with_doubt(doubt) for fit in fits]
    return Choices(share, doubt, calibrate(list(left_out_forecasts(matrix, fits, seed))))


def _best_noise_share(matrix: ForgettingMatrix, fits: list[LeftOutFit], seed: int) -> float:
    """Noise share with the lowest mean log RMSE over left-out rows completed from their probes."""
    losses: list[list[float]] = []
    for row in left_out_rows(matrix, fits):
        for count in PROBE_COUNTS:
            probes, others = randomly_probed(row, count, seed)
            if others.size:
                usual = row.fitted.mean(probes, row.truth[probes])
                forecasts = [_with_other_share(usual, share).everywhere()[others] for share in NOISE_SHARES]
                losses.append([0.5 * np.log(np.mean((f - row.truth[others]) ** 2) + 1e-300) for f in forecasts])
    if not losses:
        return USUAL_NOISE_SHARE
    loss = np.mean(losses, axis=0)
    return NOISE_SHARES[int(np.flatnonzero(loss <= loss.min() + INDIFFERENCE)[-1])]


def _with_other_share(mean: MeanForecast, noise_share: float) -> MeanForecast:
    """The same row by the same model with another noise share."""
    assert mean.local is not None
    local = mean.local.with_noise_share(noise_share)
    return replace(mean, local=local, combination=combine(local, mean.row.probes, mean.row.forgetting))


def _best_doubt(matrix: ForgettingMatrix, fits: list[LeftOutFit], seed: int) -> float:
    """Doubt under which left-out cells are most probable, the scale of every row given.

    A quiet column errs by what its loadings are off and not by its own noise: with loadings beyond doubt the intervals
    of quiet domains cover .80 where noisy ones cover .95 (noise of domains over a factor of 16, rank 4).
    """
    losses: list[list[float]] = []
    for row in left_out_rows(matrix, fits):
        model = row.fitted.factors
        for count in PROBE_COUNTS:
            probes, others = randomly_probed(row, count, seed)
            if others.size:
                squared = (row.fitted.mean(probes, row.truth[probes]).everywhere()[others] - row.truth[others]) ** 2
                told = row.fitted.method.told(model, condition(model, probes, row.truth[probes]))
                variance = posterior(model, told, row.truth).variance[others]
                factors = np.sum(np.asarray(model.loadings[1:, others], dtype=np.float64) ** 2, axis=0)
                losses.append([_log_loss(squared, variance + doubt * factors) for doubt in DOUBTS])
    return DOUBTS[int(np.argmin(np.mean(losses, axis=0)))] if losses else USUAL_DOUBT


def _log_loss(squared: Floats, variance: Floats) -> float:
    """Minus the mean log density of Student errors of these variances, up to a factor common to the row."""
    standard = squared / variance
    unit = max(float(standard.mean()), 1e-12) * (TAIL_FREEDOM - 2) / TAIL_FREEDOM
    tails = (TAIL_FREEDOM + 1) / 2 * np.log1p(standard / (TAIL_FREEDOM * unit))
    return float(np.mean(0.5 * np.log(variance * unit) + tails))
