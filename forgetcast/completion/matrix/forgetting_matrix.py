"""The matrix of forgetting: the one place where shapes, ids and values are checked.

Notation
    Z         forgetting, log-perplexity after minus before   (M, N)  nats per token, positive is forgotten
    observed  which cells were measured                       (M, N)  bool
    M, N      number of tasks (rows) and upstream examples (columns)
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forgetcast.completion.arguments import (
    LARGEST_FORGETTING,
    numbers_of,
    positions_of,
    unbelievable,
    whole_number,
)
from forgetcast.completion.matrix.files import arrays_of_arguments, read_matrix_file, write_matrix_file
from forgetcast.completion.matrix.frames import arguments_of_frame
from forgetcast.completion.matrix.ids import NumberedIds, check_names, names_of, names_or_none
from forgetcast.completion.matrix.noise_floor import Repeat
from forgetcast.completion.matrix.repeats import Origin, RepeatedRow, check_repeats
from forgetcast.completion.types import Floats, Mask, Values
from forgetcast.errors import (
    MatrixEmpty,
    NothingObserved,
    OutOfRange,
    RepeatedExample,
    RepeatedTask,
    WrongKind,
    WrongShape,
)


@dataclass(frozen=True, eq=False, repr=False)
class ForgettingMatrix:
    """Known rows of one matrix; everything after the constructor may rely on its shapes.

    A cell with ``observed == False`` may hold anything: nothing reads it. Arrays are kept as they are given, a memory
    map among them, and must not change afterwards. `load`, `from_arrays` and `from_pandas` take what people have; the
    constructor takes what they make of it.

    Parameters
    ----------
    forgetting : (M, N) float32 or float64, nats per token, after minus before; positive is forgotten
    observed : (M, N) bools, True where the cell was measured
    task_ids : M distinct strings
    example_ids : N distinct strings, in the order of the upstream set
    domains : N strings, or None
    families : M strings or None each, or None; tasks of one family are left out together
    held_out : (N,) bools, which examples are never replayed, or None; the completion does not use it
    origins : M times what is known of how a row came about, or None
    repeats : tasks that were measured once more, under other fine-tuning seeds; no known rows

    Raises
    ------
    MatrixEmpty, WrongKind, WrongShape, RepeatedTask, RepeatedExample, NotFinite, BeyondBelief, NothingObserved,
    WrongRepeat
    """

    forgetting: Values
    observed: Mask
    task_ids: Sequence[str]
    example_ids: Sequence[str]
    domains: tuple[str, ...] | None = None
    families: tuple[str | None, ...] | None = None
    held_out: Mask | None = None
    origins: tuple[Origin, ...] | None = None
    repeats: tuple[RepeatedRow, ...] = ()

    def __post_init__(self) -> None:
        _check_kinds(self)
        _check_shapes(self)
        again = [repeat.task_id for repeat in self.repeats]
        _check_distinct([*self.task_ids, *again] if again else self.task_ids, RepeatedTask)
        _check_distinct(self.example_ids, RepeatedExample)
        if again:
            known: dict[str, str | None] = dict.fromkeys(self.task_ids)
            check_repeats(known | {repeat.task_id: repeat.repeat_of for repeat in self.repeats})
        for task, row, observed in zip(self.task_ids, self.forgetting, self.observed, strict=True):
            _check_row(task, row, observed, self.example_ids)
        for repeat in self.repeats:
            _check_row(repeat.task_id, repeat.forgetting, repeat.observed, self.example_ids)

    @classmethod
    def from_arrays(
        cls,
        forgetting: ArrayLike,
        *,
        observed: ArrayLike | None = None,
        task_ids: Iterable[Any] | None = None,
        example_ids: Iterable[Any] | None = None,
        domains: Iterable[Any] | None = None,
        families: Iterable[Any] | None = None,
        held_out: ArrayLike | None = None,
        repeat_of: Iterable[Any] | None = None,
        origins: Iterable[Origin] | None = None,
    ) -> ForgettingMatrix:
        """Matrix from plain arrays.

        float32 and float64 are taken as they are, without a copy; other real numbers become float64.

        Parameters
        ----------
        forgetting : (M, N) numbers, nats per token; NaN is a missing cell when ``observed`` is not given, and a cell
            under a mask (``numpy.ma``) always is one
        observed : (M, N) bools, or numbers that are 0 and 1
        task_ids, example_ids, domains : texts, UTF-8 bytes or whole numbers; ids are made when absent
        families : the same, or None, "" or NaN where a task has none
        held_out : (N,) bools, or numbers that are 0 and 1
        repeat_of : for each row the id of the task that it measures once more, None, "" or NaN for a known row
        origins : for each row what is known of how it came about

        Raises
        ------
        The constructor's.
        """
        values, mask = _values_and_mask(forgetting, observed)
        n_tasks, n_examples = values.shape
        rows = cls(
            forgetting=values,
            observed=mask,
            task_ids=names_of("Task ids", task_ids) if task_ids is not None else NumberedIds("task-", n_tasks),
            example_ids=names_of("Example ids", example_ids)
            if example_ids is not None
            else NumberedIds("", n_examples),
            domains=names_of("Domains", domains) if domains is not None else None,
            families=names_or_none("Families", families) if families is not None else None,
            held_out=_truth_values("held_out", held_out) if held_out is not None else None,
            origins=tuple(origins) if origins is not None else None,
        )
        return rows if repeat_of is None else rows._with_repeats(names_or_none("The entries of repeat_of", repeat_of))

    @classmethod
    def from_pandas(
        cls,
        frame: Any,
        *,
        domains: Mapping[Any, Any] | Iterable[Any] | None = None,
        families: Mapping[Any, Any] | Iterable[Any] | None = None,
    ) -> ForgettingMatrix:
        """Matrix from a DataFrame of numbers: tasks are its index, examples its columns, a missing value no cell.

        Parameters
        ----------
        domains : of every example: in the order of the columns, or by id (a Series or a dict)
        families : of every task: in the order of the index, or by id, where tasks that are not named have none

        Raises
        ------
        The constructor's.
        """
        return cls.from_arrays(**arguments_of_frame(frame, domains, families))

    @classmethod
    def load(cls, path: str | Path) -> ForgettingMatrix:
        """Matrix from an ``.npz`` file; nothing is unpickled.

        The file has ``forgetting`` (M, N), NaN where a cell is missing, and may have ``observed`` (M, N), ``task`` or
        ``task_ids`` (M,), ``example`` or ``example_ids`` (N,), ``domain`` or ``domains`` (N,), ``family`` or
        ``families`` (M,), ``held_out`` (N,), ``repeat_of`` (M,), which names the task that a row measures once more and
        is empty for known rows, and of every row ``seed``, ``n_examples`` and ``dataset`` (sha256).

        Raises
        ------
        UnreadableMatrix
            if there is no such file, it is no npz, it lacks ``forgetting``, it holds Python objects or an array with
            a name that says nothing here
        The constructor's.
        """
        return cls.from_arrays(**read_matrix_file(path))

    def save(self, path: str | Path) -> None:
        """Write the ``.npz`` file that `load` reads, with everything this matrix has, to the last bit."""
        write_matrix_file(path, self._arguments())

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The arrays of the file that `save` writes."""
        return arrays_of_arguments(self._arguments())

    def __repr__(self) -> str:
        share = 1.0 if self.is_complete else float(np.mean([row.mean() for row in self.observed]))
        measured = "100%" if self.is_complete else f"{min(100 * share, 99.9):.1f}%"
        parts = [f"{self.n_tasks} tasks x {self.n_examples} examples", f"{measured} measured"]
        if self.domains is not None:
            parts.append(f"{len(set(self.domains))} domains")
        if self.families is not None:
            parts.append(f"{len(set(self.families) - {None})} families")
        if self.repeats:
            parts.append(f"{len(self.repeats)} repeats")
        return f"ForgettingMatrix({', '.join(parts)})"

    @property
    def n_tasks(self) -> int:
        return int(self.forgetting.shape[0])

    @property
    def n_examples(self) -> int:
        return int(self.forgetting.shape[1])

    @property
    def is_complete(self) -> bool:
        """Whether every cell was measured."""
        return bool(self.observed.all())

    def row(self, task: int) -> Floats:
        """One known row as float64. (N,), a copy; cells that were not measured may hold anything"""
        (row,) = _rows_of([task], self.n_tasks)
        return np.array(self.forgetting[row], dtype=np.float64)

    def filled(self, value: float = 0.0) -> Floats:
        """Copy of Z with every missing cell set to ``value``. (M, N)"""
        return np.where(self.observed, self.forgetting, value).astype(np.float64, copy=False)

    def with_tasks(self, rows: Sequence[int] | NDArray[np.intp]) -> ForgettingMatrix:
        """The matrix of these rows only, in this order, and of their repeats.

        Raises
        ------
        MatrixEmpty, WrongKind, OutOfRange, RepeatedTask
        """
        keep = _rows_of(rows, self.n_tasks)
        kept = tuple(self.task_ids[i] for i in keep)
        return ForgettingMatrix(
            forgetting=self.forgetting[keep],
            observed=self.observed[keep],
            task_ids=kept,
            example_ids=self.example_ids,
            domains=self.domains,
            held_out=self.held_out,
            families=None if self.families is None else tuple(self.families[i] for i in keep),
            origins=None if self.origins is None else tuple(self.origins[i] for i in keep),
            repeats=tuple(repeat for repeat in self.repeats if repeat.repeat_of in set(kept)),
        )

    def with_examples(self, positions: Sequence[int] | NDArray[np.intp]) -> ForgettingMatrix:
        """The matrix of these upstream examples only; rows that lose every measured cell are left out.

        Raises
        ------
        MatrixEmpty, WrongKind, UnknownExample, RepeatedExample
        """
        keep = positions_of("The examples", positions, self.n_examples).tolist()
        rows = np.flatnonzero(self.observed[:, keep].any(axis=1))
        matrix = self.with_tasks(rows)
        repeats = [repeat.with_examples(keep) for repeat in matrix.repeats]
        return replace(
            matrix,
            forgetting=matrix.forgetting[:, keep],
            observed=matrix.observed[:, keep],
            example_ids=tuple(self.example_ids[j] for j in keep),
            domains=None if self.domains is None else tuple(self.domains[j] for j in keep),
            held_out=None if self.held_out is None else self.held_out[keep],
            repeats=tuple(repeat for repeat in repeats if repeat is not None),
        )

    def without_tasks(self, rows: Collection[int]) -> ForgettingMatrix:
        """The matrix without these rows.

        Raises
        ------
        MatrixEmpty
            if none would be left
        """
        left_out = set(_rows_of(rows, self.n_tasks))
        return self.with_tasks([i for i in range(self.n_tasks) if i not in left_out])

    def domain_positions(self) -> dict[str, NDArray[np.intp]]:
        """Positions of every domain's examples, in order of first appearance; empty without domains."""
        positions: dict[str, list[int]] = {}
        for j, domain in enumerate(self.domains or ()):
            positions.setdefault(domain, []).append(j)
        return {domain: np.array(found, dtype=np.intp) for domain, found in positions.items()}

    def measured_twice(self) -> list[Repeat]:
        """Every repeat beside the known row that it repeats, over the cells that both have."""
        row_of = {task: row for row, task in enumerate(self.task_ids)}
        pairs = []
        for repeat in self.repeats:
            row = row_of[repeat.repeat_of]
            both = self.observed[row] & repeat.observed
            if both.any():
                second = repeat.forgetting[both].astype(np.float64)
                pairs.append(Repeat(repeat.repeat_of, self.row(row)[both], second, np.flatnonzero(both)))
        return pairs

    def _arguments(self) -> dict[str, Any]:
        """What `from_arrays` makes this matrix of: known rows first, then their repeats."""
        repeats = self.repeats
        known = np.where(self.observed, self.forgetting, np.asarray(np.nan, self.forgetting.dtype))
        again = [np.where(row.observed, row.forgetting, np.asarray(np.nan, row.forgetting.dtype)) for row in repeats]
        families = [*(self.families or (None,) * self.n_tasks), *(row.family for row in repeats)]
        origins = [*(self.origins or (Origin(),) * self.n_tasks), *(row.origin for row in repeats)]
        return {
            "forgetting": np.concatenate([known, np.stack(again)]) if again else known,
            "task_ids": [*self.task_ids, *(row.task_id for row in repeats)],
            "example_ids": self.example_ids,
            "domains": self.domains,
            "families": families if self.families is not None or any(families) else None,
            "held_out": self.held_out,
            "repeat_of": [*(None,) * self.n_tasks, *(row.repeat_of for row in repeats)] if repeats else None,
            "origins": origins,
        }

    def _with_repeats(self, repeat_of: Sequence[str | None]) -> ForgettingMatrix:
        """The matrix of those rows that repeat nothing, with the others as their repeats."""
        if len(repeat_of) != self.n_tasks:
            raise WrongShape(f"{len(repeat_of)} entries of repeat_of for {self.n_tasks} rows.")
        check_repeats(dict(zip(self.task_ids, repeat_of, strict=True)))
        repeats = tuple(
            RepeatedRow(
                task_id=self.task_ids[row],
                repeat_of=repeated,
                forgetting=self.forgetting[row],
                observed=self.observed[row],
                family=None if self.families is None else self.families[row],
                origin=Origin() if self.origins is None else self.origins[row],
            )
            for row, repeated in enumerate(repeat_of)
            if repeated is not None
        )
        if not repeats:
            return self
        known = [row for row, repeated in enumerate(repeat_of) if repeated is None]
        return replace(self.with_tasks(known), repeats=repeats)


def check_matrix(matrix: Any) -> None:
    """Raise WrongKind for whatever else someone takes for a matrix of forgetting."""
    if not isinstance(matrix, ForgettingMatrix):
        raise WrongKind(
            f"A ForgettingMatrix is needed, not {type(matrix).__name__}; load, from_arrays and from_pandas make one."
        )


def _values_and_mask(forgetting: Any, observed: Any) -> tuple[Values, Mask]:
    """Z and which of its cells were measured, from whatever was given; neither is copied without need."""
    if hasattr(forgetting, "columns"):
        raise WrongKind("Forgetting is a table with names; from_pandas reads them.")
    masked = np.ma.getmask(forgetting) if isinstance(forgetting, np.ma.MaskedArray) else np.ma.nomask
    values = numbers_of("Forgetting", np.ma.getdata(forgetting) if masked is not np.ma.nomask else forgetting)
    if values.ndim != 2:
        raise WrongShape(f"Forgetting has {values.ndim} dimensions; tasks by examples needs 2.")
    mask = _not_nan(values) if observed is None else _truth_values("observed", observed)
    if masked is np.ma.nomask:
        return values, mask
    if mask.shape != values.shape:
        raise WrongShape(f"Forgetting has shape {values.shape}, observed {mask.shape}.")
    return values, mask & ~masked


def _not_nan(values: Values) -> Mask:
    """Mask of the cells that are not NaN; where all are, one that takes no memory."""
    if any(np.isnan(row).any() for row in values):
        return ~np.isnan(values)
    return np.broadcast_to(np.True_, values.shape)


def _truth_values(name: str, given: Any) -> Mask:
    """A mask as bools, from bools or from numbers that are 0 and 1; what lies under another mask is none of it."""
    found = np.asarray(np.ma.filled(given, False))
    if found.dtype == np.bool_:
        return found
    if found.dtype.kind not in "iuf" or not np.isin(found, (0, 1)).all():
        raise WrongKind(f"{name} must be truth values or 0 and 1, not {found.dtype}.")
    return found.astype(np.bool_)


def _check_kinds(matrix: ForgettingMatrix) -> None:
    if isinstance(matrix.forgetting, np.ma.MaskedArray) or isinstance(matrix.observed, np.ma.MaskedArray):
        raise WrongKind("ForgettingMatrix keeps its mask in `observed`; from_arrays reads a masked array.")
    if getattr(matrix.forgetting, "dtype", None) not in (np.float32, np.float64):
        raise WrongKind("Forgetting must be an array of float32 or float64; from_arrays makes one of other numbers.")
    if getattr(matrix.observed, "dtype", None) != np.bool_:
        raise WrongKind("Observed must be an array of truth values; from_arrays makes one of 0 and 1.")
    if matrix.held_out is not None and getattr(matrix.held_out, "dtype", None) != np.bool_:
        raise WrongKind("held_out must be an array of truth values; from_arrays makes one of 0 and 1.")
    for what, names in (
        ("Task ids", matrix.task_ids),
        ("Example ids", matrix.example_ids),
        ("Domains", matrix.domains or ()),
        ("Families", [family for family in matrix.families or () if family is not None]),
    ):
        check_names(what, names)
    if not all(isinstance(origin, Origin) for origin in matrix.origins or ()):
        raise WrongKind("Origins must be a list of Origin.")
    for repeat in matrix.repeats:
        values, seen = getattr(repeat, "forgetting", None), getattr(repeat, "observed", None)
        if getattr(values, "dtype", None) not in (np.float32, np.float64) or getattr(seen, "dtype", None) != np.bool_:
            raise WrongKind("Repeats must be a list of RepeatedRow, with arrays of floats and of truth values.")


def _check_row(task: str, row: Values, observed: Mask, example_ids: Sequence[str]) -> None:
    """Refuse a row without a measured cell, and one with a value that no forgetting can have."""
    if not observed.any():
        raise NothingObserved(f"Task {task!r} has no measured cell.")
    bad = np.flatnonzero(observed & ~(np.abs(row) <= LARGEST_FORGETTING))
    if bad.size:
        raise unbelievable(float(row[bad[0]]), f"of example {example_ids[bad[0]]!r} under task {task!r}")


def _rows_of(rows: Iterable[int], n_tasks: int) -> list[int]:
    """Rows as ints; the same row twice is left to the check of task ids."""
    found = [whole_number("A row", row) for row in rows]
    if found and max(found) >= n_tasks:
        raise OutOfRange(f"Row {max(found)} was named; rows run from 0 to {n_tasks - 1}.")
    return found


def _check_shapes(matrix: ForgettingMatrix) -> None:
    shape = matrix.forgetting.shape
    if len(shape) != 2 or matrix.observed.shape != shape:
        raise WrongShape(
            f"Forgetting has shape {shape}, observed {matrix.observed.shape}; both must be tasks by examples."
        )
    if 0 in shape:
        raise MatrixEmpty(f"The matrix has {shape[0]} tasks and {shape[1]} upstream examples.")
    expected: dict[str, tuple[Sequence[Any], int]] = {
        "task ids": (matrix.task_ids, shape[0]),
        "example ids": (matrix.example_ids, shape[1]),
    }
    if matrix.domains is not None:
        expected["domains"] = (matrix.domains, shape[1])
    if matrix.origins is not None:
        expected["origins"] = (matrix.origins, shape[0])
    if matrix.families is not None:
        expected["families"] = (tuple(family or "" for family in matrix.families), shape[0])
    for name, (found, n_expected) in expected.items():
        if len(found) != n_expected:
            raise WrongShape(f"{len(found)} {name} for a matrix of {shape[0]} tasks by {shape[1]} examples.")
    if matrix.held_out is not None and matrix.held_out.shape != shape[1:]:
        raise WrongShape(f"held_out has shape {matrix.held_out.shape} for {shape[1]} examples.")
    for repeat in matrix.repeats:
        if not repeat.forgetting.shape == repeat.observed.shape == shape[1:]:
            raise WrongShape(
                f"The repeat {repeat.task_id!r} has not one value per example, of which there are {shape[1]}."
            )


def _check_distinct(ids: Sequence[str], error: Callable[[str], Exception]) -> None:
    if isinstance(ids, NumberedIds) or len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for found in ids:
        if found in seen:
            raise error(f"The id {found!r} appears twice.")
        seen.add(found)
