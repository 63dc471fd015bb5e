"""How wide intervals must be: learned from rows that were left out.

Notation
    t        (truth - predictive mean) / (predictive sd x the row's own scale)
    ratio    what the Gaussian quantile of a level is multiplied with so that |t| stays below it that often
    scale    a row's own factor on every sd, from its probes' leave-one-out residuals, shrunk toward 1
    S        number of probes
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import OutOfRange

LEVELS = np.array([0.5, 0.6, 0.7, 0.8, 0.85, 0.9, 0.95, 0.98, 0.99])
SCALE_PSEUDO_PROBES = 4.0  # a row's scale counts as if this many probes had said 1
ROW_PSEUDO_TASKS = 4.0  # the row mean's ratio counts as if this many tasks had said 1
UNLIKE_SHARE = 0.05  # of left-out rows would be called unlike the known ones


@dataclass(frozen=True, eq=False)
class Calibration:
    """Ratios at several numbers of probes; a row uses those of the largest that is not above its own S.

    probe_counts : (P,) ints, ascending, the first 0
    cell_ratio : (P, L) floats at LEVELS
    average_ratio : (P,) floats, for domain means and the row mean, at every level
    improbable : (P,) floats; a row whose improbability exceeds it is unlike all known ones
    """

    probe_counts: Indices
    cell_ratio: Floats
    average_ratio: Floats
    improbable: Floats

    def cell_half_width(self, level: float, n_probes: int) -> float:
        """Half-width of a cell's interval in units of its scaled sd."""
        ratio = np.interp(level, LEVELS, self.cell_ratio[self._place(n_probes)])
        return float(ratio) * normal_quantile(level)

    def average_half_width(self, level: float, n_probes: int) -> float:
        """Half-width of the interval of an average of cells in units of its scaled sd."""
        return float(self.average_ratio[self._place(n_probes)]) * normal_quantile(level)

    def is_unlike(self, improbability: float, n_probes: int) -> bool:
        return improbability > float(self.improbable[self._place(n_probes)])

    def _place(self, n_probes: int) -> int:
        return int(np.searchsorted(self.probe_counts, n_probes, side="right")) - 1


@dataclass(frozen=True, eq=False)
class LeftOut:
    """One forecast of a left-out row: t of its cells, t of its row mean, its improbability (see the notation)."""

    cells: Floats
    row_mean: float
    improbability: float


def gaussian_calibration() -> Calibration:
    """What holds when no row can be left out: the model's own Gaussian, and no row is called unlike the known ones."""
    return Calibration(np.zeros(1, dtype=np.intp), np.ones((1, LEVELS.size)), np.ones(1), np.full(1, np.inf))


def calibrate(left_out: Mapping[int, Sequence[LeftOut]]) -> Calibration:
    """Calibration from left-out forecasts by number of probes, 0 among them; every task weighs the same."""
    counts = sorted(left_out)
    unlike = [np.quantile([row.improbability for row in left_out[count]], 1 - UNLIKE_SHARE) for count in counts]
    return Calibration(
        probe_counts=np.array(counts, dtype=np.intp),
        cell_ratio=np.stack([_cell_ratio(left_out[count]) for count in counts]),
        average_ratio=np.array([_average_ratio(left_out[count]) for count in counts]),
        improbable=np.where(np.array(counts) > 0, unlike, np.inf),
    )


def wider(first: Calibration, second: Calibration) -> Calibration:
    """The wider of two, figure by figure; both at the same numbers of probes."""
    return Calibration(
        first.probe_counts,
        np.maximum(first.cell_ratio, second.cell_ratio),
        np.maximum(first.average_ratio, second.average_ratio),
        np.maximum(first.improbable, second.improbable),
    )


def row_scale(residuals: Floats) -> float:
    """A row's own factor on every sd, from standardised leave-one-out residuals of its random probes; 1 without."""
    pseudo = SCALE_PSEUDO_PROBES
    return float(np.sqrt((pseudo + residuals @ residuals) / (pseudo + residuals.size)))


def normal_quantile(level: float) -> float:
    """Half-width, in sd, of a central Gaussian interval. Raises OutOfRange outside (0, 1)."""
    if not 0.0 < level < 1.0:
        raise OutOfRange(f"Level {level} must lie strictly between 0 and 1.")
    return NormalDist().inv_cdf(0.5 + level / 2)


def student_widening(level: float, n_rows: int) -> float:
    """Ratio of a Student quantile to the Gaussian's: a width learned from few rows is itself uncertain.

    Half as many degrees of freedom as rows, since rows differ in scale: with 46 rows 1.04, which on the published
    OLMo-7B matrix turns 0.885 into 0.90 at nominal 0.90.
    """
    return student_quantile(level, max(1, n_rows // 2)) / normal_quantile(level)


def student_quantile(level: float, freedom: int) -> float:
    """Half-width of a central Student interval, by the first two terms of its expansion around the Gaussian."""
    z = normal_quantile(level)
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)


def _cell_ratio(rows: Sequence[LeftOut]) -> Floats:
    """Ratio at every level: the quantile of |t| over the cells of all tasks, each task weighing the same."""
    values = np.concatenate([np.abs(row.cells) for row in rows])
    weights = np.concatenate([np.full(row.cells.size, 1.0 / row.cells.size) for row in rows])
    order = np.argsort(values, kind="stable")
    below = np.cumsum(weights[order]) / weights.sum()
    quantiles = np.interp(LEVELS, below, values[order])
    gaussian = np.array([normal_quantile(float(level)) for level in LEVELS])
    widening = np.array([student_widening(float(level), len(rows)) for level in LEVELS])
    return np.asarray(quantiles / gaussian * widening)


def _average_ratio(rows: Sequence[LeftOut]) -> float:
    """Ratio of row means: the root mean square of t, shrunk toward 1."""
    squared = sum(row.row_mean**2 for row in rows)
    ratio = float(np.sqrt((ROW_PSEUDO_TASKS + squared) / (ROW_PSEUDO_TASKS + len(rows))))
    return ratio * student_widening(0.9, len(rows))
