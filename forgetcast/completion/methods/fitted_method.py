"""A method fitted to the known rows: what forecasts a new row.

Notation
    M, N  known rows, upstream examples      S  probes of the new row
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.arguments import level_of_intervals, measured_cells, positions_of, whole_number
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.known_rows import KnownRows, known_rows
from forgetcast.completion.matrix.task_gram import TaskGram
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.registry import method_named
from forgetcast.completion.models.factor_model import (
    FactorModel,
    Posterior,
    ProbedRow,
    condition,
    fit_factor_model,
    fold_in,
    posterior,
)
from forgetcast.completion.models.local_model import LocalModel, fit_local_model
from forgetcast.completion.models.mean_forecast import MeanForecast
from forgetcast.completion.row_forecast import ProbedCells, RowForecast, make_row_forecast
from forgetcast.completion.selection.probes import Design, ProbeSet, design_probes
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.calibration import Calibration
from forgetcast.completion.uncertainty.drawn_errors import DrawnErrors
from forgetcast.completion.uncertainty.novelty import novelty
from forgetcast.completion.uncertainty.row_scale import row_scale
from forgetcast.errors import IncompatibleFit, OutOfRange

MODEL_VERSION = 5  # raised by every change of the code that changes a forecast
DEFAULT_SIZE = 30  # probes: of the paper's protocol


@dataclass(frozen=True, eq=False)
class DefaultProbes:
    """The probes that a task gets unless it asks for others, drawn once for a version of the matrix.

    positions (S,) ints; at_random (S,) bools; variance (N,) floats, of the cells of a row with these probes
    """

    positions: Indices
    at_random: Mask
    variance: Floats


@dataclass(frozen=True, eq=False)
class FittedMethod:
    """A method fitted to the known rows; forecasts need nothing else.

    factors : what the variance of every cell and average comes from, and the mean too or a share of it
    local : what the rest of the mean comes from; None unless the method combines known rows
    gram : products of the known rows, which the fit of the next version takes over
    default : the probes of most tasks, and the variance that they leave; None in a fit that no task is forecast from
    drawn_errors : how metrics of drawn rows err, for the gate; None where nobody learned it
    """

    method: Method
    factors: FactorModel
    local: LocalModel | None
    calibration: Calibration
    gram: TaskGram
    default: DefaultProbes | None = None
    drawn_errors: DrawnErrors | None = None

    @property
    def n_tasks(self) -> int:
        return int(self.gram.sums.size)

    def forecast(
        self,
        probes: Indices,
        forgetting: Floats,
        *,
        level: float = 0.9,
        random_probes: Indices | None = None,
    ) -> RowForecast:
        """Completed row of a new task.

        Parameters
        ----------
        probes : (S,) ints, positions of the measured upstream examples, distinct; none is allowed
        forgetting : (S,) floats, nats per token, after minus before; positive is forgotten
        level : share of cells the intervals are meant to cover, strictly between 0 and 1
        random_probes : which of the probes were drawn at random (positions); only they say how far this row strays
            from the model. All of them by default

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind, NotFinite, BeyondBelief, OutOfRange
        """
        level = level_of_intervals(level)
        probes, forgetting = measured_cells(probes, forgetting, self.factors.n_examples)
        row = condition(self.factors, probes, forgetting)
        at_random = np.ones(probes.size, dtype=np.bool_)
        if random_probes is not None:
            drawn = positions_of("The random probes", random_probes, self.factors.n_examples)
            if not np.isin(drawn, probes).all():
                raise OutOfRange("The random probes must be some of the probes.")
            at_random = np.isin(probes, drawn)
        told = self.method.told(self.factors, row)
        mean = self.method.mean(self.factors, self.local, told)
        errors = self.calibration.expected(probes.size, float(at_random.mean()) if probes.size else 1.0)
        found = novelty(self.factors, row, errors.prior)
        left_out_sd = np.sqrt(told.left_out_variance)
        scale = row_scale(errors.prior, mean.left_out / left_out_sd, at_random, errors.probability_unlike(found))
        probed = ProbedCells(probes, forgetting, forgetting - mean.left_out, left_out_sd, at_random)
        return make_row_forecast(self._posterior(told, mean), scale, errors, level, errors.is_unlike(found), probed)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays, for an npz without pickle. ``from_arrays`` gives the same forecasts back."""
        arrays: dict[str, NDArray[Any]] = {
            "model_version": np.array(MODEL_VERSION),
            "method": np.array(self.method.name),
            "numpy_version": np.array(np.__version__),  # provenance: nothing reads it back
        }
        for part in (self.factors, self.local, self.calibration, self.gram, self.default, self.drawn_errors):
            if part is not None:
                name = type(part).__name__
                arrays |= {f"{name}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FittedMethod:
        """What ``to_arrays`` gave. Raises IncompatibleFit for another model version."""
        if int(arrays["model_version"]) != MODEL_VERSION:
            raise IncompatibleFit(f"Fitted by model version {arrays['model_version']}; this is {MODEL_VERSION}.")
        method = method_named(str(arrays["method"]))
        return cls(
            method=method,
            factors=_part(FactorModel, arrays),
            local=_part(LocalModel, arrays) if method.combines_rows else None,
            calibration=_part(Calibration, arrays),
            gram=_part(TaskGram, arrays),
            default=_part(DefaultProbes, arrays) if "DefaultProbes.positions" in arrays else None,
            drawn_errors=_part(DrawnErrors, arrays) if "DrawnErrors.probe_counts" in arrays else None,
        )

    def probes(
        self,
        size: int = DEFAULT_SIZE,
        *,
        design: str = Design.MIXED,
        seed: int = 0,
        importance: Floats | None = None,
    ) -> ProbeSet:
        """Which upstream examples to measure for a new task. The default ones are kept, and any beginning of them.

        Parameters, returns and raises are those of ``design_probes``.
        """
        size = whole_number("The number of probes", size)
        as_default = importance is None and (design, seed) == (Design.MIXED, 0)
        if self.default is not None and as_default and size <= self.default.positions.size:
            return ProbeSet(self.default.positions[:size], self.default.at_random[:size])
        return design_probes(self.factors, size, design=design, seed=seed, importance=importance)

    def with_calibration(self, calibration: Calibration) -> FittedMethod:
        return replace(self, calibration=calibration)

    def with_drawn_errors(self, drawn_errors: DrawnErrors) -> FittedMethod:
        return replace(self, drawn_errors=drawn_errors)

    def with_default_probes(self) -> FittedMethod:
        """The same fit, its default probes drawn."""
        drawn = design_probes(self.factors, min(DEFAULT_SIZE, self.factors.n_examples))
        at_mean = np.asarray(self.factors.mean[drawn.positions], dtype=np.float64)
        variance = fold_in(self.factors, drawn.positions, at_mean).variance
        return replace(self, default=DefaultProbes(drawn.positions, drawn.at_random, variance))

    def mean(self, probes: Indices, forgetting: Floats) -> MeanForecast:
        """Mean of a new task's row, not yet written down: for rows too wide to be.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind, NotFinite, BeyondBelief
        """
        told = self.method.told(self.factors, condition(self.factors, probes, forgetting))
        return self.method.mean(self.factors, self.local, told)

    def _posterior(self, told: ProbedRow, mean: MeanForecast) -> Posterior:
        return posterior(self.factors, told, mean.all_columns(), self._known_variance(told.probes))

    def _known_variance(self, probes: Indices) -> Floats | None:
        default = self.default
        if default is None or default.positions.size != probes.size or set(default.positions) != set(probes):
            return None
        return default.variance


def fit_with(
    matrix: ForgettingMatrix,
    method: Method,
    noise_share: float,
    doubt: float,
    calibration: Calibration,
    earlier: TaskGram | None = None,
) -> FittedMethod:
    """Fit with every choice already made.

    Parameters
    ----------
    noise_share : of the local model; methods that combine no rows do not use it
    doubt : share of the factors' variance that is taken for noise
    earlier : products of an earlier version's rows; those that are known still are not multiplied again
    """
    rows = known_rows(matrix, rank_of(method, matrix.n_tasks), earlier)
    return fit_rows(rows, method, noise_share, doubt, calibration)


def fit_rows(
    rows: KnownRows, method: Method, noise_share: float, doubt: float, calibration: Calibration
) -> FittedMethod:
    """Fit to rows whose missing cells are filled; the rest as in ``fit_with``."""
    factors = fit_factor_model(rows, rank_of(method, rows.n_tasks)).with_doubt(doubt)
    local = _fit_local(rows, noise_share) if method.combines_rows else None
    return FittedMethod(method, factors, local, calibration, rows.gram)


def rank_of(method: Method, n_tasks: int) -> int:
    """Factors that so many rows can tell."""
    return min(method.largest_rank, n_tasks // 4)


def _fit_local(rows: KnownRows, noise_share: float) -> LocalModel:
    return fit_local_model(rows, fit_factor_model(rows, rank=0), noise_share)


def _part(kind: type[Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A dataclass from its arrays; those without dimensions become floats again."""
    values = {field.name: arrays[f"{kind.__name__}.{field.name}"] for field in fields(kind)}
    return kind(**{name: float(value) if value.ndim == 0 else value for name, value in values.items()})
