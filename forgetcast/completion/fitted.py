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
from forgetcast.completion.baselines import popularity
from forgetcast.completion.calibration import Calibration
from forgetcast.completion.factor_model import (
    Conditioned,
    FactorModel,
    Posterior,
    condition,
    fit_factor_model,
    fold_in,
    posterior,
)
from forgetcast.completion.known_rows import KnownRows, known_rows
from forgetcast.completion.local_model import LocalModel, combine, fit_local_model
from forgetcast.completion.matrix import ForgettingMatrix
from forgetcast.completion.probes import Design, ProbeSet, design_probes
from forgetcast.completion.novelty import novelty
from forgetcast.completion.row_forecast import ProbedCells, RowForecast, make_row_forecast
from forgetcast.completion.row_mean import FACTOR_SHARE, RowMean
from forgetcast.completion.row_scale import row_scale
from forgetcast.completion.task_gram import TaskGram
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import IncompatibleFit, OutOfRange

MODEL_VERSION = 4  # raised by every change of the code that changes a forecast
DEFAULT_METHOD = "blend"
BASELINES = ("popularity", "additive")  # rank every task alike
METHODS = ("blend", "local", "factor", *BASELINES)
FACTOR_SHARES = {"blend": FACTOR_SHARE, "local": 0.0}  # of methods that combine known rows
USUAL_SIZE = 30  # probes: of the paper's protocol
LARGEST_RANK = 8  # log score of left-out cells: flat from 8 to 12


@dataclass(frozen=True, eq=False)
class UsualProbes:
    """The probes that a task gets unless it asks for others, drawn once for a version of the matrix.

    positions (S,) ints; at_random (S,) bools; variance (N,) floats, of the cells of a row with these probes
    """

    positions: Indices
    at_random: Mask
    variance: Floats


@dataclass(frozen=True, eq=False)
class Fitted:
    """A method fitted to the known rows; forecasts need nothing else.

    spread : what the variance of every cell and average comes from, and the mean too or a share of it
    local : what the rest of the mean comes from; None unless the method is ``blend`` or ``local``
    gram : products of the known rows, which the fit of the next version takes over
    usual : the probes of most tasks, and the variance that they leave; None in a fit that no task is forecast from
    """

    method: str
    spread: FactorModel
    local: LocalModel | None
    calibration: Calibration
    gram: TaskGram
    usual: UsualProbes | None = None

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
        probes, forgetting = measured_cells(probes, forgetting, self.spread.n_examples)
        row = condition(self.spread, probes, forgetting)
        at_random = np.ones(probes.size, dtype=np.bool_)
        if random_probes is not None:
            drawn = positions_of("The random probes", random_probes, self.spread.n_examples)
            if not np.isin(drawn, probes).all():
                raise OutOfRange("The random probes must be some of the probes.")
            at_random = np.isin(probes, drawn)
        mean = self.mean_of(row)
        errors = self.calibration.expected(probes.size, float(at_random.mean()) if probes.size else 1.0)
        found = novelty(self.spread, row, errors.prior)
        left_out_sd = np.sqrt(mean.left_out_variance)
        scale = row_scale(errors.prior, mean.left_out / left_out_sd, at_random, errors.probability_unlike(found))
        probed = ProbedCells(probes, forgetting, forgetting - mean.left_out, left_out_sd, at_random)
        return make_row_forecast(self._posterior(row, mean), scale, errors, level, errors.is_unlike(found), probed)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays, for an npz without pickle. ``from_arrays`` gives the same forecasts back."""
        arrays: dict[str, NDArray[Any]] = {
            "model_version": np.array(MODEL_VERSION),
            "method": np.array(self.method),
            "numpy_version": np.array(np.__version__),  # provenance: nothing reads it back
        }
        for part in (self.spread, self.local, self.calibration, self.gram, self.usual):
            if part is not None:
                name = type(part).__name__
                arrays |= {f"{name}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)}
        return arrays

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Fitted:
        """What ``to_arrays`` gave. Raises IncompatibleFit for another model version."""
        if int(arrays["model_version"]) != MODEL_VERSION:
            raise IncompatibleFit(f"Fitted by model version {arrays['model_version']}; this is {MODEL_VERSION}.")
        method = str(arrays["method"])
        return cls(
            method=method,
            spread=_part(FactorModel, arrays),
            local=_part(LocalModel, arrays) if method in FACTOR_SHARES else None,
            calibration=_part(Calibration, arrays),
            gram=_part(TaskGram, arrays),
            usual=_part(UsualProbes, arrays) if "UsualProbes.positions" in arrays else None,
        )

    def probes(
        self,
        size: int = USUAL_SIZE,
        *,
        design: str = Design.MIXED,
        seed: int = 0,
        importance: Floats | None = None,
    ) -> ProbeSet:
        """Which upstream examples to measure for a new task. The usual ones are kept, and any beginning of them.

        Parameters, returns and raises are those of ``design_probes``.
        """
        size = whole_number("The number of probes", size)
        as_usual = importance is None and (design, seed) == (Design.MIXED, 0)
        if self.usual is not None and as_usual and size <= self.usual.positions.size:
            return ProbeSet(self.usual.positions[:size], self.usual.at_random[:size])
        return design_probes(self.spread, size, design=design, seed=seed, importance=importance)

    def with_usual_probes(self) -> Fitted:
        """The same fit, its usual probes drawn."""
        drawn = design_probes(self.spread, min(USUAL_SIZE, self.spread.n_examples))
        at_mean = np.asarray(self.spread.mean[drawn.positions], dtype=np.float64)
        variance = fold_in(self.spread, drawn.positions, at_mean).variance
        return replace(self, usual=UsualProbes(drawn.positions, drawn.at_random, variance))

    def mean(self, probes: Indices, forgetting: Floats) -> RowMean:
        """Mean of a new task's row, not yet written down: for rows too wide to be. Not for ``popularity``.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind, NotFinite, BeyondBelief
        """
        return self.mean_of(condition(self.spread, probes, forgetting))

    def mean_of(self, row: Conditioned) -> RowMean:
        """Mean of a row whose probes are conditioned on."""
        if self.local is None:
            return RowMean(self.spread, row)
        combination = combine(self.local, row.probes, row.forgetting)
        return RowMean(self.spread, row, self.local, combination, FACTOR_SHARES[self.method])

    def _posterior(self, row: Conditioned, mean: RowMean) -> Posterior:
        if self.method == "popularity":
            return popularity(self.spread, row.probes, row.forgetting)
        return posterior(self.spread, row, mean.all_columns(), self._known_variance(row.probes))

    def _known_variance(self, probes: Indices) -> Floats | None:
        usual = self.usual
        if usual is None or usual.positions.size != probes.size or set(usual.positions) != set(probes):
            return None
        return usual.variance


def fit_with(
    matrix: ForgettingMatrix,
    method: str,
    noise_share: float,
    doubt: float,
    calibration: Calibration,
    earlier: TaskGram | None = None,
) -> Fitted:
    """Fit with every choice already made. ``noise_share`` is that of the local model; other methods do not use it.

    ``doubt`` : share of the factors' variance taken for noise.

    ``earlier``: products of an earlier version's rows; those that are known still are not multiplied again.
    """
    rank = 0 if method in BASELINES else min(LARGEST_RANK, matrix.n_tasks // 4)
    rows = known_rows(matrix, rank, earlier)
    spread = fit_factor_model(rows, rank).with_doubt(doubt)
    local = _fit_local(rows, noise_share) if method in FACTOR_SHARES else None
    return Fitted(method, spread, local, calibration, rows.gram)


def _fit_local(rows: KnownRows, noise_share: float) -> LocalModel:
    return fit_local_model(rows, fit_factor_model(rows, rank=0), noise_share)


def _part(kind: type[Any], arrays: Mapping[str, NDArray[Any]]) -> Any:
    """A dataclass from its arrays; those without dimensions become floats again."""
    values = {field.name: arrays[f"{kind.__name__}.{field.name}"] for field in fields(kind)}
    return kind(**{name: float(value) if value.ndim == 0 else value for name, value in values.items()})
