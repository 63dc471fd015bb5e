"""Choices made by leaving known rows out: the local model's noise share, and how wide intervals must be.

Notation
    M  known rows      S  probes played by cells of a left-out row
    lam  noise share of the local model
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from forgetcast.completion.calibration import (
    Calibration,
    LeftOut,
    calibrate,
    gaussian_calibration,
    row_scale,
    wider,
)
from forgetcast.completion.factor_model import condition, left_out_residuals
from forgetcast.completion.fitted import FACTOR_SHARES, Fitted, fit_with
from forgetcast.completion.local_model import combine
from forgetcast.completion.matrix import ForgettingMatrix
from forgetcast.completion.probes import random_probes
from forgetcast.completion.row_mean import RowMean
from forgetcast.completion.types import Floats, Indices

NOISE_SHARES = (0.1, 0.25, 0.4, 0.6, 0.7, 0.8, 0.9)
USUAL_NOISE_SHARE = 0.8  # where too few rows are known to choose
INDIFFERENCE = 0.003  # of RMSE: among shares this close to the best the largest is taken, for rows unlike the known
PROBE_COUNTS = (0, 10, 30)  # choices and widths are made at these
LEFT_OUT_GROUPS = 32  # tasks or families left out, at most
CHOICE_COLUMNS = 2048  # columns that choices look at; a random subset of a wider matrix


@dataclass(frozen=True, eq=False)
class Choices:
    noise_share: float
    calibration: Calibration


@dataclass(frozen=True, eq=False)
class Remainder:
    """The rows of a group, and the method fitted to all others."""

    group: list[int]
    fitted: Fitted


def choose(matrix: ForgettingMatrix, method: str, seed: int) -> Choices:
    """Noise share and interval widths for these known rows; the usual share and the model's own Gaussian below four.

    The share is chosen by leaving out families where there are some, else tasks; the widths by both, the wider wins.
    """
    if matrix.n_tasks < 4:
        return Choices(USUAL_NOISE_SHARE, gaussian_calibration())
    matrix = _column_sample(matrix, seed)
    alone = [[row] for row in range(matrix.n_tasks)]
    families = matrix.left_out_together()
    partitions = [alone] if families == alone else [alone, families]
    remainders = [_remainders(matrix, partition, method, seed) for partition in partitions]
    share = _best_noise_share(matrix, remainders[-1], seed) if method in FACTOR_SHARES else USUAL_NOISE_SHARE
    calibration = _calibrate(matrix, remainders[0], share, seed)
    if len(remainders) == 2:
        calibration = wider(calibration, _calibrate(matrix, remainders[1], share, seed))
    return Choices(share, calibration)


def _remainders(matrix: ForgettingMatrix, partition: list[list[int]], method: str, seed: int) -> list[Remainder]:
    """The method fitted without each group, a seeded choice of groups; none that would leave nothing to fit."""
    possible = [group for group in partition if len(group) < matrix.n_tasks]
    by_chance = sorted(possible, key=lambda group: min(_seed_of(matrix.task_ids[row], seed) for row in group))
    groups = by_chance[:LEFT_OUT_GROUPS]
    usual = (method, USUAL_NOISE_SHARE, gaussian_calibration())
    return [Remainder(group, fit_with(matrix.without_tasks(group), *usual)) for group in groups]


def _best_noise_share(matrix: ForgettingMatrix, remainders: list[Remainder], seed: int) -> float:
    """Noise share with the lowest mean log RMSE over left-out rows completed from their probes."""
    losses: list[list[float]] = []
    for fitted, truth, probes, others in _left_out_rows(matrix, remainders, PROBE_COUNTS[1:], seed):
        usual = fitted.mean(probes, truth[probes])
        forecasts = [_with_other_share(usual, share).all_columns() for share in NOISE_SHARES]
        losses.append([0.5 * np.log(np.mean((f - truth)[others] ** 2) + 1e-300) for f in forecasts])
    if not losses:
        return USUAL_NOISE_SHARE
    loss = np.mean(losses, axis=0)
    return NOISE_SHARES[int(np.flatnonzero(loss <= loss.min() + INDIFFERENCE)[-1])]


def _calibrate(matrix: ForgettingMatrix, remainders: list[Remainder], noise_share: float, seed: int) -> Calibration:
    left_out: dict[int, list[LeftOut]] = {count: [] for count in PROBE_COUNTS}
    chosen = [Remainder(each.group, _with_noise_share(each.fitted, noise_share)) for each in remainders]
    for count in PROBE_COUNTS:
        for fitted, truth, probes, others in _left_out_rows(matrix, chosen, (count,), seed):
            left_out[count].append(_left_out(fitted, truth, probes, others))
    return calibrate(left_out) if left_out[0] else gaussian_calibration()


def _left_out(fitted: Fitted, truth: Floats, probes: Indices, others: Indices) -> LeftOut:
    forecast = fitted.forecast(probes, truth[probes])
    residuals, improbability = left_out_residuals(condition(fitted.spread, probes, truth[probes]))
    average, variance = forecast.posterior.average(others)
    row_mean = (float(truth[others].mean()) - average) / (row_scale(residuals) * float(np.sqrt(variance)))
    return LeftOut((truth[others] - forecast.mean[others]) / forecast.sd[others], row_mean, improbability)


def _with_other_share(mean: RowMean, noise_share: float) -> RowMean:
    """The same row by the same model with another noise share."""
    assert mean.local is not None
    local = mean.local.with_noise_share(noise_share)
    return replace(mean, local=local, combination=combine(local, mean.row.probes, mean.row.forgetting))


def _with_noise_share(fitted: Fitted, noise_share: float) -> Fitted:
    return fitted if fitted.local is None else replace(fitted, local=fitted.local.with_noise_share(noise_share))


def _left_out_rows(
    matrix: ForgettingMatrix, remainders: list[Remainder], counts: tuple[int, ...], seed: int
) -> Iterator[tuple[Fitted, Floats, Indices, Indices]]:
    """Every left-out row at every number of probes: what was fitted without it, its truth, its probes, other cells."""
    for remainder in remainders:
        for row in remainder.group:
            observed = matrix.observed[row]
            for count in counts:
                size = min(count, int(observed.sum()) // 2)
                drawn_from = _seed_of(matrix.task_ids[row], seed)
                probes = random_probes(matrix.n_examples, size, drawn_from, eligible=observed)
                others = np.setdiff1d(np.flatnonzero(observed), probes)
                if others.size:
                    yield remainder.fitted, matrix.row(row), probes, others


def _seed_of(task_id: str, seed: int) -> int:
    """A task's own seed: wherever it stands and whatever rows come and go, the same of its cells play the probes."""
    return crc32(f"{seed}:{task_id}".encode())


def _column_sample(matrix: ForgettingMatrix, seed: int) -> ForgettingMatrix:
    """The columns that choices look at: all, or a random subset in order."""
    if matrix.n_examples <= CHOICE_COLUMNS:
        return matrix
    return matrix.with_examples(np.sort(random_probes(matrix.n_examples, CHOICE_COLUMNS, seed)))
