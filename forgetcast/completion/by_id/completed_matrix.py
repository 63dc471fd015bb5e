"""The known rows with every missing cell predicted.

Notation
    M, N  known rows, upstream examples
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetcast.completion.by_id.data_frame import data_frame
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.outliers import without_outliers
from forgetcast.completion.methods.fitted_method import fit_with
from forgetcast.completion.methods.method import Method
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Mask
from forgetcast.completion.validation.choices import Choices, choose
from forgetcast.errors import MatrixEmpty


@dataclass(frozen=True, eq=False, repr=False)
class CompletedMatrix:
    """Every cell of the known rows, nats per token: measured ones as measured, the others predicted.

    values, low, high : (M, N) floats; low = high in measured cells
    measured : (M, N) bools
    task_ids, example_ids, domains : of rows and columns
    unlike_known : tasks unlike all others, of which the predicted cells' intervals cannot be trusted
    level : share of predicted cells that the intervals are meant to hold
    """

    values: Floats
    low: Floats
    high: Floats
    measured: Mask
    task_ids: Sequence[str]
    example_ids: Sequence[str]
    domains: tuple[str, ...] | None
    unlike_known: tuple[str, ...]
    level: float

    def to_numpy(self) -> Floats:
        """A copy of `values`. (M, N)"""
        return self.values.copy()

    def to_frame(self) -> Any:
        """A pandas DataFrame, a line a cell: task, example_id, domain if known, forgetting, low, high, measured.

        Raises
        ------
        ConfigurationError : there is no pandas
        """
        n_tasks, n_examples = self.values.shape
        columns: dict[str, Any] = {
            "task": np.repeat(np.array(self.task_ids, dtype=object), n_examples),
            "example_id": np.tile(np.array(self.example_ids, dtype=object), n_tasks),
            "domain": None if self.domains is None else np.tile(np.array(self.domains, dtype=object), n_tasks),
            "forgetting": self.values.ravel(),
            "low": self.low.ravel(),
            "high": self.high.ravel(),
            "measured": self.measured.ravel(),
        }
        return data_frame(columns)

    def __repr__(self) -> str:
        n_tasks, n_examples = self.values.shape
        n_missing = int(np.count_nonzero(~self.measured))
        parts = [
            f"{n_tasks} tasks x {n_examples} examples",
            f"{n_missing} cells predicted with {100 * self.level:g}% intervals, the others measured",
        ]
        if self.unlike_known:
            parts.append(f"{len(self.unlike_known)} tasks unlike all others")
        return f"CompletedMatrix({'; '.join(parts)})"


def complete(matrix: ForgettingMatrix, method: Method, seed: int, level: float) -> CompletedMatrix:
    """Predict every missing cell of a row from its measured ones and all other rows.

    Of the other rows the row's own family stays: what is asked is not how a new kind of task would do. Choices and
    calibration are made once, by leaving rows out as everywhere. Which cells are missing must not depend on what they
    would have been.

    Raises
    ------
    MatrixEmpty : a row has missing cells, and there is no other row
    """
    values, measured = matrix.filled(np.nan), np.array(matrix.observed)
    low, high = values.copy(), values.copy()
    believed = without_outliers(matrix)
    choices = None if matrix.is_complete else choose(believed, method, seed)
    unlike = []
    for row in np.flatnonzero(~measured.all(axis=1)).tolist():
        assert choices is not None
        forecast = _forecast_from_the_others(matrix, believed, row, method, choices, level)
        missing = ~measured[row]
        values[row, missing] = forecast.mean[missing]
        low[row, missing], high[row, missing] = forecast.low[missing], forecast.high[missing]
        if forecast.unlike_known:
            unlike.append(matrix.task_ids[row])
    return CompletedMatrix(
        values, low, high, measured, matrix.task_ids, matrix.example_ids, matrix.domains, tuple(unlike), level
    )


def _forecast_from_the_others(
    matrix: ForgettingMatrix, believed: ForgettingMatrix, row: int, method: Method, choices: Choices, level: float
) -> RowForecast:
    """A row forecast from its own cells, those beyond belief aside, by a fit without it."""
    task = matrix.task_ids[row]
    others = [other for other, name in enumerate(believed.task_ids) if name != task]
    if not others:
        raise MatrixEmpty(f"No other known row says what the missing cells of {task!r} may be.")
    fitted = fit_with(believed.with_tasks(others), method, choices.noise_share, choices.doubt, choices.calibration)
    itself = [kept for kept, name in enumerate(believed.task_ids) if name == task]
    seen = believed.observed[itself[0]] if itself else matrix.observed[row]
    probes = np.flatnonzero(seen)
    return fitted.forecast(probes, matrix.row(row)[probes], level=level)
