"""Baselines that are fitted anew for every task, as the paper does it: a point per cell, no interval."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.methods.knn import knn_mean
from forgetcast.completion.methods.matrix_factorisation import mf_mean
from forgetcast.completion.types import Floats, Indices, Mask

REFIT_PER_TASK = ("knn", "mf")


@dataclass(frozen=True, eq=False)
class PointForecast:
    """Completed row without intervals. mean : (N,) floats, nats per token; measured : (N,) bools"""

    mean: Floats
    measured: Mask


@dataclass(frozen=True, eq=False)
class RefitPerTask:
    """``knn`` or ``mf`` over known rows: nothing is fitted until a row asks."""

    method: str
    known: ForgettingMatrix
    seed: int

    def forecast(self, probes: Indices, forgetting: Floats) -> PointForecast:
        """Completed row of a new task: a fit of its own.

        Parameters
        ----------
        probes : (S,) ints, positions of the measured upstream examples, distinct; none is allowed
        forgetting : (S,) floats, nats per token, after minus before

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, NotFinite
        """
        cells = (self.known.filled(), self.known.observed, probes, forgetting)
        mean = knn_mean(*cells) if self.method == "knn" else mf_mean(*cells, seed=self.seed)
        measured = np.zeros(mean.size, dtype=np.bool_)
        measured[probes] = True
        return PointForecast(mean, measured)
