"""Errors of single cells in drawn rows.

Notation
    C      cells that were not measured and are drawn
    B, v   their loadings and noise                                      (R, C), (C,)  nats per token; squared
    root   root @ root.T is the posterior covariance of a row's factors  (R, R)
    z      factors of a drawn row in units of root, standard normal      (R,)
    e      noise of its cells, standard normal                           (C,)
    s      sd of every cell by the factor model, s^2 = |root'B|^2 + v    (C,)
    g      (root'B z + sqrt(v) e) / s: standard normal, cells correlated as their factors are
    tau    scale of the row
    Q, F   calibrated quantiles of a cell's error beside its scale; the normal distribution function

A cell errs by tau s Q(F(g)): its margin is the calibrated one that intervals of cells have, and what cells share is
what their factors share. Q(F(g)) is read from a table: 141,816 cells of a thousand rows are drawn in about two seconds.

Source: Nelsen (2006), An Introduction to Copulas, section 2.3, for margins kept under a shared normal.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from math import erf, sqrt
from statistics import NormalDist

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.draws import Draws
from forgetcast.completion.row_forecast import RowForecast, highest_forecasts
from forgetcast.completion.types import Floats, Indices
from forgetcast.completion.uncertainty.error_shape import PROBABILITIES

Cells = NDArray[np.float32]

REACH, STEPS = 6.0, 256  # Q(F(g)) is tabled from -6 to 6, at so many values a unit
QUARTERS = 1 << 16  # e is one of so many equally likely values, by a quarter of a random word


@dataclass(frozen=True, eq=False)
class DrawnCells:
    """normal, errors : (n, C) float32, g and what it makes of every cell of n drawn rows, nats per token"""

    normal: Cells
    errors: Cells


class CellErrors:
    """Draws the errors of some cells, row after row.

    Parameters
    ----------
    positions : (C,) ints, none of them measured
    noise : where e comes from
    """

    def __init__(self, row: RowForecast, positions: Indices, noise: Draws) -> None:
        posterior = row.posterior
        variance = posterior.variance[positions]
        self.sd = np.sqrt(variance).astype(np.float32)
        self._noise_part = np.sqrt(posterior.noise[positions] / variance).astype(np.float32)
        shared = posterior.root.T @ posterior.loadings[:, positions]
        self._shared_part = (shared / np.sqrt(variance)).astype(np.float32)
        shapes = (row.errors.cell_shape, row.errors.top_shape)
        self._table = np.concatenate([_tabled(shape) for shape in shapes])
        top = np.isin(positions, highest_forecasts(row.mean, row.measured))
        # Half a step more, for places are rounded down.
        self._place = (REACH * STEPS + 0.5 + top * (self._table.size // 2)).astype(np.float32)
        self._noise = noise

    def draw(self, z: Floats, tau: Floats) -> DrawnCells:
        """Errors of as many rows as there are z, (n, R), and tau, (n,)."""
        n, n_cells = tau.size, self.sd.size
        words = self._noise.words((n * n_cells + 3) // 4).astype("<u8", copy=False)
        normal = _normal_values().take(words.view("<u2")[: n * n_cells], mode="clip").reshape(n, n_cells)
        normal *= self._noise_part
        normal += z.astype(np.float32) @ self._shared_part
        place = np.clip(normal, -REACH, REACH)
        place *= STEPS
        place += self._place
        errors = self._table.take(place.astype(np.intp), mode="clip")
        errors *= self.sd
        errors *= tau.astype(np.float32)[:, None]
        return DrawnCells(normal, errors)


def normal_below(values: Floats) -> Floats:
    """F, of any shape, to 1e-7: read from a table, for one by one it was a third of what drawing costs."""
    grid, below = _normal_table()
    return np.asarray(np.interp(values, grid, below))


@lru_cache(maxsize=1)
def _normal_table() -> tuple[Floats, Floats]:
    """F at even steps from -8 to 8."""
    grid = np.linspace(-8.0, 8.0, 1 << 14)
    return grid, np.array([0.5 + 0.5 * erf(value / sqrt(2.0)) for value in grid.tolist()])


def _tabled(shape: Floats) -> Cells:
    """Q(F(g)) at every step of g."""
    steps = np.arange(int(2 * REACH * STEPS) + 1) / STEPS - REACH
    return np.interp(normal_below(steps), PROBABILITIES, shape).astype(np.float32)


@lru_cache(maxsize=1)
def _normal_values() -> Cells:
    """Normal quantiles at the middles of equal parts. (QUARTERS,)"""
    middles = (np.arange(QUARTERS // 2) + 0.5) / QUARTERS
    inverse = NormalDist().inv_cdf
    lower = np.array([inverse(p) for p in middles.tolist()], dtype=np.float32)
    return np.concatenate([lower, -lower[::-1]])
