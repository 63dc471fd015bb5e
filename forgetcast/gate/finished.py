"""A row of which every cell was measured: nothing of it is forecast, and a verdict on it is exact."""

from __future__ import annotations

import numpy as np

from forgetcast.completion.models.factor_model import Posterior
from forgetcast.completion.row_forecast import ProbedCells, RowForecast, make_row_forecast
from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.calibration import usual_calibration
from forgetcast.completion.uncertainty.row_scale import row_scale


def finished_row(values: Floats) -> RowForecast:
    """The row that these cells are, without a matrix to know it from.

    Parameters
    ----------
    values : (N,) floats, nats per token, each as measured
    """
    size = values.size
    everything, nothing = np.ones(size, dtype=np.bool_), np.zeros(0)
    errors = usual_calibration().expected(size, 1.0)
    scale = row_scale(errors.prior, nothing, np.zeros(0, dtype=np.bool_), 0.0)
    loadings, noise = np.zeros((1, size)), np.ones(size)
    known = Posterior(values.astype(np.float64), np.zeros(size), loadings, noise, np.eye(1), everything)
    none = np.zeros(size)
    probed = ProbedCells(np.arange(size, dtype=np.intp), known.mean, known.mean, none, everything)
    return make_row_forecast(known, scale, errors, 0.9, False, probed)
