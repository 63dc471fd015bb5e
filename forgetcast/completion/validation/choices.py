"""Choices made by leaving known rows out: noise share, doubt of the loadings, and what errors to expect."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.methods.method import Method
from forgetcast.completion.models.factor_model import condition, posterior
from forgetcast.completion.models.local_model import combine_at
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
    """matrix, left_out : what they were made by: columns of the known rows, and the method fitted without each group"""

    noise_share: float
    doubt: float
    calibration: Calibration
    matrix: ForgettingMatrix
    left_out: list[LeftOutFit]


@dataclass(frozen=True, eq=False)
class _Attempt:
    """A left-out row completed from random probes: its n other cells, forecast at every noise share that was tried.

    squared : (L, n) floats, squared errors; a single row of them for a method that combines no rows
    variance : (n,) floats, by the factor model, its loadings beyond doubt
    factors : (n,) floats, what part of a cell's variance its loadings account for
    """

    squared: Floats
    variance: Floats
    factors: Floats


def choose(matrix: ForgettingMatrix, method: Method, seed: int) -> Choices:
    """Noise share, doubt and calibration for these known rows; the usual ones below four."""
    if matrix.n_tasks < FEWEST_ROWS:
        return Choices(USUAL_NOISE_SHARE, USUAL_DOUBT, usual_calibration(matrix.n_tasks), matrix, [])
    if matrix.n_examples > MOST_COLUMNS:
        matrix = matrix.with_examples(np.sort(random_probes(matrix.n_examples, MOST_COLUMNS, seed)))
    fits = left_out_fits(matrix, method, USUAL_NOISE_SHARE, seed)
    attempts = _attempts(matrix, fits, seed)
    place = _best_noise_share(attempts) if method.combines_rows else None
    share = USUAL_NOISE_SHARE if place is None else NOISE_SHARES[place]
    doubt = _best_doubt(attempts, place or 0)
    fits = [fit.with_noise_share(share).with_doubt(doubt) for fit in fits]
    return Choices(share, doubt, calibrate(list(left_out_forecasts(matrix, fits, seed))), matrix, fits)


def _attempts(matrix: ForgettingMatrix, fits: list[LeftOutFit], seed: int) -> list[_Attempt]:
    """Every left-out row at each of PROBE_COUNTS."""
    attempts: list[_Attempt] = []
    for row in left_out_rows(matrix, fits):
        model = row.fitted.factors
        for count in PROBE_COUNTS:
            probes, others = randomly_probed(row, count, seed)
            if others.size:
                told = row.fitted.method.told(model, condition(model, probes, row.truth[probes]))
                usual = row.fitted.method.mean(model, row.fitted.local, told)
                errors = [mean.everywhere()[others] - row.truth[others] for mean in _at_noise_shares(usual)]
                factors = np.sum(np.asarray(model.loadings[1:, others], dtype=np.float64) ** 2, axis=0)
                variance = posterior(model, told, row.truth).variance[others]
                attempts.append(_Attempt(np.square(errors), variance, factors))
    return attempts


def _at_noise_shares(usual: MeanForecast) -> list[MeanForecast]:
    """The same row by the same model at each of NOISE_SHARES, or as it is where no rows are combined."""
    if usual.local is None:
        return [usual]
    found = combine_at(usual.local, usual.row.probes, usual.row.forgetting, np.array(NOISE_SHARES))
    return [replace(usual, combination=combination) for combination in found]


def _best_noise_share(attempts: list[_Attempt]) -> int | None:
    """Place of the noise share with the lowest mean log RMSE; None without an attempt."""
    if not attempts:
        return None
    loss = np.mean([0.5 * np.log(np.mean(attempt.squared, axis=1) + 1e-300) for attempt in attempts], axis=0)
    return int(np.flatnonzero(loss <= loss.min() + INDIFFERENCE)[-1])


def _best_doubt(attempts: list[_Attempt], place: int) -> float:
    """Doubt under which left-out cells are most probable, the noise share and the scale of every row given.

    A quiet column errs by what its loadings are off and not by its own noise: with loadings beyond doubt the intervals
    of quiet domains cover .80 where noisy ones cover .95 (noise of domains over a factor of 16, rank 4).
    """
    if not attempts:
        return USUAL_DOUBT
    doubts = np.array(DOUBTS)[:, None]
    losses = [_log_loss(each.squared[place], each.variance + doubts * each.factors) for each in attempts]
    return DOUBTS[int(np.argmin(np.mean(losses, axis=0)))]


def _log_loss(squared: Floats, variance: Floats) -> Floats:
    """Minus the mean log density of Student errors (n,) of these variances (D, n), up to a factor of the row's. (D,)"""
    standard = squared / variance
    unit = np.maximum(standard.mean(axis=1, keepdims=True), 1e-12) * (TAIL_FREEDOM - 2) / TAIL_FREEDOM
    tails = (TAIL_FREEDOM + 1) / 2 * np.log1p(standard / (TAIL_FREEDOM * unit))
    return np.asarray(np.mean(0.5 * np.log(variance * unit) + tails, axis=1))
