"""Forecasts of known rows that were left out: what choices are made by and intervals are learned from.

Notation
    M  known rows      S  probes played by cells of a left-out row
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from zlib import crc32

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.known_rows import known_rows
from forgetcast.completion.methods.fitted_method import FittedMethod, fit_rows, rank_of
from forgetcast.completion.methods.method import Method
from forgetcast.completion.metrics import TOP_SHARE
from forgetcast.completion.models.factor_model import ProbedRow, condition, posterior
from forgetcast.completion.selection.probes import Design, ProbeSet, design_probes, random_probes
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.averages import Groups, average_errors, level_variance
from forgetcast.completion.uncertainty.calibration import LeftOutForecast, usual_calibration
from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES
from forgetcast.completion.validation import splits

PROBE_COUNTS = (0, 1, 3, 10, 30, 100)
MOST_GROUPS = 32  # tasks or families left out
FORECASTS = 32  # wanted at every number of probes: a few rows get several draws each
MOST_DRAWS = 6
DRAWS_AGAIN = 3  # more, of probe sets of at most so many, for what may be called unlike the known rows
MOST_DRAWN_AGAIN = 10
MOST_DOMAINS = 64  # whose means are looked at


@dataclass(frozen=True, eq=False)
class LeftOutFit:
    """The rows of a group, and the method fitted to all others."""

    group: list[int]
    fitted: FittedMethod

    def with_noise_share(self, noise_share: float) -> LeftOutFit:
        if self.fitted.local is None:
            return self
        return replace(self, fitted=replace(self.fitted, local=self.fitted.local.with_noise_share(noise_share)))

    def with_doubt(self, share: float) -> LeftOutFit:
        return replace(self, fitted=replace(self.fitted, factors=self.fitted.factors.with_doubt(share)))


@dataclass(frozen=True, eq=False)
class LeftOutRow:
    """A left-out row: what was fitted without it, its truth (N,), and its measured cells. (n,) ints"""

    fitted: FittedMethod
    task_id: str
    truth: Floats
    observed: Indices


def left_out_fits(matrix: ForgettingMatrix, method: Method, noise_share: float, seed: int) -> list[LeftOutFit]:
    """The method fitted without each group, a seeded choice of groups; none that would leave nothing to fit."""
    possible = [group for group in splits.left_out_together(matrix) if len(group) < matrix.n_tasks]
    by_chance = sorted(possible, key=lambda group: min(_seed_of(matrix.task_ids[row], seed) for row in group))
    usual = (method, noise_share, 0.0, usual_calibration())
    rows = known_rows(matrix, rank_of(method, matrix.n_tasks))
    return [LeftOutFit(group, fit_rows(rows.without(group), *usual)) for group in by_chance[:MOST_GROUPS]]


def left_out_rows(matrix: ForgettingMatrix, fits: list[LeftOutFit]) -> Iterator[LeftOutRow]:
    """Every row of every group."""
    for fit in fits:
        for row in fit.group:
            observed = np.flatnonzero(matrix.observed[row])
            yield LeftOutRow(fit.fitted, matrix.task_ids[row], matrix.row(row), observed)


def randomly_probed(row: LeftOutRow, count: int, seed: int) -> tuple[Indices, Indices]:
    """Random probes of a row, at most half of its cells, and its other cells."""
    size = min(count, row.observed.size // 2)
    probes = random_probes(row.truth.size, size, _seed_of(row.task_id, seed), eligible=_eligible(row))
    return probes, np.setdiff1d(row.observed, probes, assume_unique=True)


def left_out_forecasts(matrix: ForgettingMatrix, fits: list[LeftOutFit], seed: int) -> Iterator[LeftOutForecast]:
    """Every left-out row at every number of probes under both designs, where half of its cells are enough for them."""
    draws = min(MOST_DRAWS, -(-FORECASTS // max(1, sum(len(fit.group) for fit in fits))))
    domains = sorted(matrix.domain_positions().values(), key=lambda positions: -positions.size)[:MOST_DOMAINS]
    for row in left_out_rows(matrix, fits):
        for draw in range(draws):
            mixed, drawn = _both_designs(row, seed + draw)
            for count in PROBE_COUNTS:
                for probes in (mixed, drawn) if count > 1 else (drawn,):
                    if count <= probes.positions.size and count < row.observed.size:
                        first = ProbeSet(probes.positions[:count], probes.at_random[:count])
                        yield _forecast(row, first, domains, _drawn_again(row, first, seed + draw))


def _both_designs(row: LeftOutRow, seed: int) -> tuple[ProbeSet, ProbeSet]:
    """The most probes of a row, mixed and random; fewer are the beginning of them."""
    size, eligible = min(PROBE_COUNTS[-1], row.observed.size // 2), _eligible(row)
    drawn_from = _seed_of(row.task_id, seed)
    drawn = random_probes(row.truth.size, size, drawn_from, eligible=eligible)
    mixed = design_probes(row.fitted.factors, size, design=Design.MIXED, seed=drawn_from, eligible=eligible)
    return mixed, ProbeSet(drawn, np.ones(size, dtype=np.bool_))


def _drawn_again(row: LeftOutRow, probes: ProbeSet, seed: int) -> list[ProbedRow]:
    """The row under the same designed probes and other random ones: few probes tell less of it than of their draw."""
    if not FEWEST_PROBES <= probes.positions.size <= MOST_DRAWN_AGAIN:
        return []
    model, designed = row.fitted.factors, probes.positions[~probes.at_random]
    eligible = _eligible(row)
    eligible[designed] = False
    n_random = probes.positions.size - designed.size
    again = [
        random_probes(row.truth.size, n_random, _seed_of(f"{row.task_id} again {i}", seed), eligible=eligible)
        for i in range(DRAWS_AGAIN)
    ]
    together = [np.concatenate([designed, drawn]) for drawn in again]
    return [condition(model, positions, row.truth[positions]) for positions in together]


def _forecast(row: LeftOutRow, probes: ProbeSet, domains: list[Indices], again: list[ProbedRow]) -> LeftOutForecast:
    model, truth = row.fitted.factors, row.truth
    conditioned = condition(model, probes.positions, truth[probes.positions])
    told = row.fitted.method.told(model, conditioned)
    mean = row.fitted.method.mean(model, row.fitted.local, told)
    known = posterior(model, told, truth)
    scored = np.zeros(truth.size, dtype=np.bool_)
    scored[row.observed] = True
    scored[probes.positions] = False
    others = np.flatnonzero(scored)
    forecast, sd = mean.everywhere()[others], np.sqrt(known.variance[others])
    errors = (truth[others] - forecast) / sd
    scale = float(np.sqrt(np.mean(errors**2)))
    groups = [others, *(positions[scored[positions]] for positions in domains)]
    averaged = Groups.of([group for group in groups if group.size])
    missed = np.zeros(truth.size)
    missed[others] = truth[others] - forecast
    random_residuals = mean.left_out[probes.at_random]
    return LeftOutForecast(
        n_probes=probes.positions.size,
        random_share=float(probes.at_random.mean()) if probes.at_random.size else 1.0,
        residuals=(mean.left_out / np.sqrt(told.left_out_variance))[probes.at_random],
        errors=errors,
        top=_highest(forecast),
        averages=averaged.sums(missed) / averaged.sizes,
        expected=average_errors(known, averaged, level_variance(known, random_residuals, scale)),
        model=model,
        rows=[conditioned, *again],
    )


def _highest(forecast: Floats) -> Mask:
    """The 5% highest forecasts, at least one."""
    k = max(1, round(TOP_SHARE * forecast.size))
    return np.asarray(forecast >= np.partition(forecast, forecast.size - k)[forecast.size - k])


def _eligible(row: LeftOutRow) -> Mask:
    eligible = np.zeros(row.truth.size, dtype=np.bool_)
    eligible[row.observed] = True
    return eligible


def _seed_of(task_id: str, seed: int) -> int:
    """A task's own seed: wherever it stands and whatever rows come and go, the same of its cells play the probes."""
    return crc32(f"{seed}:{task_id}".encode())
