"""What errors to expect of a forecast, by the number of its probes and by how many of them were random.

Notation
    S        number of probes
    share    of the probes that were drawn at random: 1/2 under the design `mixed`, 1 under `random`
    tau      scale of a row: root mean square of its errors, in sd of the factor model

All of it is learned from rows that were left out and forecast as new ones are: by families where these are known, at
several S and both shares, between which ln S and the share are interpolated.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forgetcast.completion.models.factor_model import FactorModel, ProbedRow
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.averages import AverageErrors
from forgetcast.completion.uncertainty.error_shape import shape_of, student_shape
from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES, novelty
from forgetcast.completion.uncertainty.row_scale import ScalePrior

SHARES = np.array([0.5, 1.0])
USUAL_LOCATION, USUAL_SPREAD = 0.2, 0.5  # of ln tau where no row can be left out: as on measured matrices
USUAL_DOMAIN_RATIO, USUAL_ROW_RATIO = 2.2, 1.2  # of the mean of a domain and of a row, the same
LONE_ROW_RATIO = 0.45  # more with one known row, half as much with two: its column means are hardly those of others
PSEUDO_ROWS = 3.0  # rows' worth of the usual figures in what few left-out rows say
MOST_SQUARE = 25.0  # of an error over its sd, lest one wild probe or row speak for all
UNLIKE_SHARE = 0.05  # of left-out rows that may be called unlike the others
UNLIKE_STEPS = 5.0  # logits between the row in the middle and one that would just be called unlike
NO_BAR = 1e9  # of novelty, where no row could be left out; finite, for tables are interpolated
FEWEST_SHAPED = 3  # probes of the forecasts that shapes are learned from


@dataclass(frozen=True, eq=False)
class ExpectedErrors:
    """Of a row with a certain number of probes.

    prior : of the row's scale
    cell_shape, top_shape : quantiles of a cell's error beside the row's scale; those of the 5% highest forecasts
    domain_shape, row_shape : the same of the mean of a domain and of the row
    unlike_bar, unlike_step : novelty beyond which a row is called unlike the known ones, and how much more or less
        makes the odds e to 1; no bar with too few probes to say, or where no row could be left out to learn it from
    """

    prior: ScalePrior
    cell_shape: Floats
    top_shape: Floats
    domain_shape: Floats
    row_shape: Floats
    unlike_bar: float | None
    unlike_step: float

    def is_unlike(self, found: float) -> bool | None:
        """Whether a row of this novelty is unlike the known ones; None where nobody can say."""
        return None if self.unlike_bar is None else found > self.unlike_bar

    def probability_unlike(self, found: float) -> float:
        """Even at the bar."""
        if self.unlike_bar is None:
            return 0.0
        return float(1.0 / (1.0 + np.exp(np.clip((self.unlike_bar - found) / self.unlike_step, -50.0, 50.0))))


@dataclass(frozen=True, eq=False)
class Calibration:
    """Tables by number of probes (P,) and random share (2,).

    probe_counts : (P,) ints, ascending
    location, probe_ratio : (P, 2) floats, and spread : float, of the prior of a row's scale
    domain_ratio, row_ratio : (P, 2) floats, root mean square error of averages in their sd and the row's scale
    unlike_bar, unlike_step : (P, 2) floats
    cell_shape, top_shape, domain_shape : quantiles, see `error_shape`
    """

    probe_counts: Indices
    location: Floats
    probe_ratio: Floats
    spread: float
    domain_ratio: Floats
    row_ratio: Floats
    unlike_bar: Floats
    unlike_step: Floats
    cell_shape: Floats
    top_shape: Floats
    domain_shape: Floats

    def expected(self, n_probes: int, random_share: float) -> ExpectedErrors:
        """What to expect of a row with this many probes, this share of them random."""
        places = np.log1p(self.probe_counts)
        by_count = _weights(places, float(np.log1p(n_probes)))
        by_share = _weights(SHARES, random_share)

        def at(table: Floats) -> float:
            return float(by_count @ table @ by_share)

        # Novelty of rows like the known ones falls by so much with every probe: with ln S between the counts a third of
        # them were flagged at S = 20 (rank 2, little noise), where 3% to 6% are at 10 and 30.
        bar = float(_weights(self.probe_counts.astype(np.float64), n_probes) @ self.unlike_bar @ by_share)
        return ExpectedErrors(
            prior=ScalePrior(at(self.location), self.spread, at(self.probe_ratio)),
            cell_shape=self.cell_shape,
            top_shape=self.top_shape,
            domain_shape=at(self.domain_ratio) * self.domain_shape,
            row_shape=at(self.row_ratio) * student_shape(),
            unlike_bar=bar if n_probes >= FEWEST_PROBES and bar < NO_BAR / 2 else None,
            unlike_step=at(self.unlike_step),
        )


def _weights(places: Floats, place: float) -> Floats:
    """Weights of linear interpolation between ascending places, the ends held. (P,)"""
    weights = np.zeros(places.size)
    after = int(np.searchsorted(places, place))
    if after in (0, places.size):
        weights[min(after, places.size - 1)] = 1.0
    else:
        weights[after] = (place - places[after - 1]) / (places[after] - places[after - 1])
        weights[after - 1] = 1.0 - weights[after]
    return weights


@dataclass(frozen=True, eq=False)
class LeftOutForecast:
    """A forecast of a left-out row, beside its truth.

    residuals : (n,) floats, what its random probes lie above the forecast from the others, in sd
    errors : (K,) floats, of its other cells, in sd; top : (K,) bools, which of them had the 5% highest forecasts
    averages : errors of the row's mean, first, and of its domains' means, nats per token, (1 + D,) floats
    expected : of the same averages, the cells that were not measured alone
    model, rows : what it was forecast by, and how it was probed, in this draw and in others
    """

    n_probes: int
    random_share: float
    residuals: Floats
    errors: Floats
    top: Mask
    averages: Floats
    expected: AverageErrors
    model: FactorModel
    rows: Sequence[ProbedRow]

    @cached_property
    def scale(self) -> float:
        """tau."""
        return max(float(np.sqrt(np.mean(self.errors**2))), 1e-12)

    def average_errors(self, usual: float) -> Floats:
        """Errors of the averages beside what the row's scale makes of their sd. (1 + D,)"""
        plain = min(self.scale, usual)
        sd = self.expected.sd * np.sqrt(plain**2 + self.expected.shared_ratio**2 * (self.scale**2 - plain**2))
        return np.divide(self.averages, sd, out=np.zeros_like(sd), where=sd > 0)


def usual_calibration(n_tasks: int = 3) -> Calibration:
    """What is taken where no row can be left out: scales as on measured matrices, Student errors, no flag."""
    one, shape = np.ones((1, 2)), student_shape()
    return Calibration(
        probe_counts=np.zeros(1, dtype=np.intp),
        location=USUAL_LOCATION * one,
        probe_ratio=one,
        spread=USUAL_SPREAD,
        domain_ratio=USUAL_DOMAIN_RATIO * one,
        row_ratio=(USUAL_ROW_RATIO + LONE_ROW_RATIO / n_tasks) * one,
        unlike_bar=NO_BAR * one,
        unlike_step=one,
        cell_shape=shape,
        top_shape=shape,
        domain_shape=shape,
    )


def calibrate(left_out: Sequence[LeftOutForecast]) -> Calibration:
    """Calibration from left-out forecasts; every forecast weighs the same."""
    if not left_out:
        return usual_calibration()
    counts = np.unique([each.n_probes for each in left_out])
    cells = [[_of(left_out, int(count), float(share)) for share in SHARES] for count in counts]

    def table(figure: Callable[[list[LeftOutForecast]], float]) -> Floats:
        return np.array([[figure(rows) for rows in by_share] for by_share in cells])

    location, spread = table(_location), _spread(cells)
    probe_ratio = table(_probe_ratio)
    domain_ratio = table(
        lambda rows: _average_ratio([row.average_errors(_usual(rows))[1:] for row in rows], USUAL_DOMAIN_RATIO)
    )
    bars = [[_unlike(rows, ScalePrior(_location(rows), spread, _probe_ratio(rows))) for rows in each] for each in cells]
    shaped = [each for each in left_out if each.n_probes >= FEWEST_SHAPED] or list(left_out)
    domains = [
        row.average_errors(_usual(rows))[1:] / ratio
        for by_share, ratios in zip(cells, domain_ratio, strict=True)
        for rows, ratio in zip(by_share, ratios, strict=True)
        for row in rows
        if row.n_probes >= FEWEST_SHAPED
    ]
    return Calibration(
        probe_counts=counts.astype(np.intp),
        location=location,
        probe_ratio=probe_ratio,
        spread=spread,
        domain_ratio=domain_ratio,
        row_ratio=table(
            lambda rows: _average_ratio([row.average_errors(_usual(rows))[:1] for row in rows], USUAL_ROW_RATIO)
        ),
        unlike_bar=np.array([[bar for bar, _ in each] for each in bars]),
        unlike_step=np.array([[step for _, step in each] for each in bars]),
        cell_shape=shape_of([row.errors[~row.top] / row.scale for row in shaped]),
        top_shape=shape_of([row.errors[row.top] / row.scale for row in shaped]),
        domain_shape=shape_of(domains),
    )


def _of(left_out: Sequence[LeftOutForecast], count: int, share: float) -> list[LeftOutForecast]:
    """Forecasts with this many probes and about this random share; all with so many where the design is no matter."""
    same = [each for each in left_out if each.n_probes == count]
    nearest = [each for each in same if abs(each.random_share - share) <= 0.25]
    return nearest or same


def _location(rows: Sequence[LeftOutForecast]) -> float:
    logs = [np.log(row.scale) for row in rows]
    return float((PSEUDO_ROWS * USUAL_LOCATION + sum(logs)) / (PSEUDO_ROWS + len(logs)))


def _usual(rows: Sequence[LeftOutForecast]) -> float:
    return float(np.exp(_location(rows)))


def _spread(cells: Sequence[Sequence[Sequence[LeftOutForecast]]]) -> float:
    """Spread of ln tau around its location: a Student variable of 4 degrees has twice the variance of its unit."""
    logs = [np.log([row.scale for row in rows]) for by_share in cells for rows in by_share]
    square = sum(float(np.sum((found - found.mean()) ** 2)) for found in logs) / len(logs)
    freedom = sum(found.size - 1 for found in logs) / len(logs)
    return float(np.sqrt((PSEUDO_ROWS * 2 * USUAL_SPREAD**2 + square) / (PSEUDO_ROWS + freedom) / 2))


def _probe_ratio(rows: Sequence[LeftOutForecast]) -> float:
    squares = [
        float(np.minimum((row.residuals / row.scale) ** 2, MOST_SQUARE).mean()) for row in rows if row.residuals.size
    ]
    return float(np.sqrt((PSEUDO_ROWS + sum(squares)) / (PSEUDO_ROWS + len(squares))))


def _average_ratio(errors: Sequence[Floats], usual: float) -> float:
    squares = [float(np.minimum(row**2, MOST_SQUARE).mean()) for row in errors if row.size]
    return float(np.sqrt((PSEUDO_ROWS * usual**2 + sum(squares)) / (PSEUDO_ROWS + len(squares))))


def _unlike(rows: Sequence[LeftOutForecast], prior: ScalePrior) -> tuple[float, float]:
    """Bar and step of novelty: so few left-out rows exceed the bar, the row to come counted as one that does."""
    if rows[0].n_probes < FEWEST_PROBES:
        return NO_BAR, 1.0
    found = np.array([novelty(row.model, probed, prior) for row in rows for probed in row.rows])
    share = min(1.0, (1.0 - UNLIKE_SHARE) * (1.0 + 1.0 / len(rows)))
    bar = float(np.quantile(found, share))
    return bar, min(1.0, max(1e-3, (bar - float(np.median(found))) / UNLIKE_STEPS))
