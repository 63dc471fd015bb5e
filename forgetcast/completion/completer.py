"""Complete rows of forgetting in a notebook: fit on known rows, then ask by example id.

from forgetcast import Completer, ForgettingMatrix

completer = Completer().fit(ForgettingMatrix.load("rows.npz"))
probes = completer.probes(30)
row = completer.predict({id: measure(id) for id in probes})
row.top(20)
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.arguments import level_of_intervals
from forgetcast.completion.by_id.completed_matrix import CompletedMatrix, complete
from forgetcast.completion.by_id.completed_row import CompletedRow
from forgetcast.completion.by_id.example_ids import ExampleIds
from forgetcast.completion.by_id.measured_cells import measured_cells
from forgetcast.completion.by_id.probe_list import ProbeList, drawn_at_random
from forgetcast.completion.fit_method import fit
from forgetcast.completion.matrix.files import arguments_of_arrays, read_npz
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.methods.fitted_method import DEFAULT_SIZE, FittedMethod
from forgetcast.completion.methods.method import Method
from forgetcast.completion.methods.registry import DEFAULT_METHOD, METHODS, method_named
from forgetcast.completion.selection.probes import Design, ProbeSet, expected_error
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.errors import NotFitted, OutOfRange, UnknownMethod, UnknownReference, UnreadableMatrix


@dataclass(frozen=True, eq=False)
class _Known:
    """What a completer learned from: the known rows, the fit to them and the seed of probes."""

    matrix: ForgettingMatrix
    fitted: FittedMethod
    seed: int

    @cached_property
    def examples(self) -> ExampleIds:
        return ExampleIds(self.matrix.example_ids)

    @cached_property
    def domain_positions(self) -> dict[str, Indices]:
        return self.matrix.domain_positions()

    @cached_property
    def usual_probes(self) -> ProbeSet:
        """Those of whoever asks for nothing else: the same in every process."""
        return self.fitted.probes(min(DEFAULT_SIZE, self.matrix.n_examples), seed=self.seed)


class Completer:
    """Completes rows of forgetting from a few measured cells.

    Nothing is looked at before `fit`.

    Parameters
    ----------
    method : ``blend``, ``local``, ``factor``, ``additive`` or ``popularity``, or a method of one's own
    level : share of cells that intervals are meant to hold
    seed : of the probes drawn at random, and of the rows and cells that choices look at
    """

    def __init__(self, method: str | Method = DEFAULT_METHOD, *, level: float = 0.9, seed: int = 0) -> None:
        self.method = method
        self.level = level
        self.seed = seed
        self._knows: _Known | None = None
        self._handed_out: dict[bytes, ProbeSet] = {}  # by what they are, the newest last

    def fit(self, matrix: ForgettingMatrix) -> Completer:
        """Learn from the known rows, and forget any earlier ones; returns the completer itself.

        Raises
        ------
        WrongKind, UnknownMethod, OutOfRange
        """
        check_matrix(matrix)
        level_of_intervals(self.level)
        self._knows = _Known(matrix, fit(matrix, self.method, self.seed), self.seed)
        self._handed_out = {}
        return self

    @property
    def matrix(self) -> ForgettingMatrix:
        """The known rows. Raises NotFitted."""
        return self._known.matrix

    @property
    def fitted(self) -> FittedMethod:
        """The fit, for whoever works with positions. Raises NotFitted."""
        return self._known.fitted

    def probes(
        self, size: int = DEFAULT_SIZE, *, design: str = Design.MIXED, domains: Iterable[str] | None = None
    ) -> ProbeList:
        """Which examples to measure for a new task.

        Parameters
        ----------
        size : how many; the first of a larger set are the smaller one
        design : ``mixed``, half of them chosen for what they tell and half drawn at random; ``optimal``, all chosen;
            ``random``, all drawn
        domains : choose for the error in these domains; in all of them by default

        Raises
        ------
        NotFitted, TooManyExamplesAsked, UnknownMethod, OutOfRange, WrongKind
        UnknownReference : no example has such a domain
        """
        matrix, fitted, examples = self._known.matrix, self._known.fitted, self._known.examples
        importance = None if domains is None else _importance(matrix, domains)
        found = fitted.probes(size, design=design, seed=self._known.seed, importance=importance)
        self._hand_out(found)
        return ProbeList(
            ids=tuple(examples.at(found.positions)),
            at_random=tuple(examples.at(found.positions[found.at_random])),
            expected_error=expected_error(fitted.factors, found.positions, importance=importance),
            domains=None if matrix.domains is None else tuple(matrix.domains[j] for j in found.positions.tolist()),
        )

    def predict(
        self, cells: Any, values: Any = None, *, random: Iterable[Any] | None = None, level: float | None = None
    ) -> CompletedRow:
        """Completed row of a new task.

        Parameters
        ----------
        cells : what was measured: a dict or a pandas Series, example id -> forgetting (nats per token, after minus
            before fine-tuning, positive is forgotten); or ids, with as many ``values``. An empty dict gives what
            tasks forget on average
        random : the ids among them that were drawn at random, which alone say how far the task strays from the known
            ones. By default all but those that `probes` chose
        level : of the intervals; that of the completer by default

        Raises
        ------
        NotFitted, WrongKind, WrongShape, UnknownExample, RepeatedExample, NotFinite, BeyondBelief
        OutOfRange : the level lies outside 0 to 1, or ``random`` has an id that was not measured
        """
        known = self._known
        positions, forgetting = measured_cells(cells, values, known.examples)
        if random is None:
            drawn = drawn_at_random(positions, list(self._handed_out.values()), known.usual_probes)
        else:
            drawn = _named(random, positions, known.examples)
        level = self.level if level is None else level
        forecast = known.fitted.forecast(positions, forgetting, level=level, random_probes=positions[drawn])
        return CompletedRow(forecast, known.examples, known.domain_positions, known.fitted.n_tasks)

    def complete(self, *, level: float | None = None) -> CompletedMatrix:
        """The known rows with every missing cell predicted, with intervals.

        The missing cells of a row are predicted from its measured ones by a fit without this row: without its
        relatives it is not, for those are known. Its measured cells are taken for a random draw, so which cells are
        missing must not depend on what they would have been. Costs a fit a row.

        Raises
        ------
        NotFitted, OutOfRange, WrongKind
        MatrixEmpty : a row has missing cells, and there is no other row
        """
        known = self._known
        level = level_of_intervals(self.level if level is None else level)
        return complete(known.matrix, known.fitted.method, known.seed, level)

    def save(self, path: str | Path) -> None:
        """Write the fit and the known rows as an ``.npz`` file of plain arrays; `load` reads it without unpickling.

        Raises
        ------
        NotFitted
        UnknownMethod : a method of one's own, which no file could name
        """
        matrix, fitted = self._known.matrix, self._known.fitted
        if fitted.method.name not in METHODS or method_named(fitted.method.name) is not fitted.method:
            raise UnknownMethod(
                f"Only {', '.join(METHODS)} can be saved; {fitted.method.name!r} is a method of your own."
            )
        arrays: dict[str, NDArray[Any]] = {"level": np.array(self.level), "seed": np.array(self._known.seed)}
        arrays |= {f"fitted.{name}": array for name, array in fitted.to_arrays().items()}
        arrays |= {f"matrix.{name}": array for name, array in matrix.to_arrays().items()}
        for place, probes in enumerate(self._handed_out.values()):
            arrays |= {f"probes.{place}.positions": probes.positions, f"probes.{place}.at_random": probes.at_random}
        with open(path, "wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)

    @classmethod
    def load(cls, path: str | Path) -> Completer:
        """What `save` has written; it forecasts the same.

        Raises
        ------
        UnreadableMatrix : there is no such file, or it holds no completer
        IncompatibleFit : another version of the model made it; fit again
        """
        arrays = read_npz(path)
        if not {"level", "seed", "fitted.method"} <= arrays.keys():
            raise UnreadableMatrix(f"{path} holds no completer, which Completer.save writes.")
        fitted = FittedMethod.from_arrays(_part(arrays, "fitted."))
        matrix = ForgettingMatrix.from_arrays(**arguments_of_arrays(_part(arrays, "matrix."), path))
        completer = cls(fitted.method.name, level=float(arrays["level"]), seed=int(arrays["seed"]))
        completer._knows = _Known(matrix, fitted, completer.seed)
        n_handed_out = sum(name.startswith("probes.") for name in arrays) // 2
        for place in range(n_handed_out):
            completer._hand_out(ProbeSet(**_part(arrays, f"probes.{place}.")))
        return completer

    def __repr__(self) -> str:
        name = self.method if isinstance(self.method, str) else self.method.name
        state = "not fitted" if self._knows is None else f"fitted to {self._knows.matrix!r}"
        return f"Completer(method={name!r}, level={self.level}, seed={self.seed}; {state})"

    def _hand_out(self, probes: ProbeSet) -> None:
        """Remember a probe set; one that was handed out before is the newest again."""
        key = probes.positions.tobytes() + probes.at_random.tobytes()
        self._handed_out.pop(key, None)
        self._handed_out[key] = probes

    @property
    def _known(self) -> _Known:
        if self._knows is None:
            raise NotFitted("This completer knows no rows yet; call fit(matrix) first.")
        return self._knows


def _named(random: Iterable[Any], measured: Indices, examples: ExampleIds) -> Mask:
    """Which of the measured cells these ids are. (S,)"""
    drawn = examples.positions(random)
    elsewhere = drawn[~np.isin(drawn, measured)]
    if elsewhere.size:
        raise OutOfRange(f"The example {examples.at(elsewhere)[0]!r} was drawn at random, but there is no value of it.")
    return np.isin(measured, drawn)


def _importance(matrix: ForgettingMatrix, domains: Iterable[str]) -> Floats:
    """1 for the examples of these domains, 0 for others. (N,)"""
    wanted, has = {domains} if isinstance(domains, str) else set(domains), matrix.domains or ()
    absent = wanted - set(has)
    if absent:
        raise UnknownReference(f"The matrix has no domain {min(absent)!r}.")
    return np.array([float(domain in wanted) for domain in has])


def _part(arrays: dict[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): array for name, array in arrays.items() if name.startswith(prefix)}
