"""The matrix of forgetting: the one place where shapes, ids and values are checked.

Notation
    Z         forgetting, log-perplexity after minus before   (M, N)  nats per token, positive is forgotten
    observed  which cells were measured                       (M, N)  bool
    M, N      number of tasks (rows) and upstream examples (columns)
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike, NDArray

from forgetcast.completion.noise_floor import Repeat
from forgetcast.completion.types import Floats, Mask, Values
from forgetcast.errors import (
    MatrixEmpty,
    NotFinite,
    NothingObserved,
    RepeatedExample,
    RepeatedTask,
    UnreadableMatrix,
    WrongShape,
)


class NumberedIds(Sequence[str]):
    """Ids made of a prefix and a number, for whoever names none: as many as there are columns, and no memory."""

    def __init__(self, prefix: str, n_ids: int) -> None:
        self._prefix, self._numbers = prefix, range(n_ids)

    def __len__(self) -> int:
        return len(self._numbers)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> list[str]: ...

    def __getitem__(self, place: int | slice) -> str | list[str]:
        if isinstance(place, slice):
            return [f"{self._prefix}{number}" for number in self._numbers[place]]
        return f"{self._prefix}{self._numbers[place]}"


@dataclass(frozen=True, eq=False)
class ForgettingMatrix:
    """Known rows of one matrix; everything after the constructor may rely on its shapes.

    A cell with ``observed == False`` may hold anything: nothing reads it. Arrays are kept as they are given, a memory
    map among them, and must not change afterwards.

    Parameters
    ----------
    forgetting : (M, N) float32 or float64, nats per token, after minus before; positive is forgotten
    observed : (M, N) bools, True where the cell was measured
    task_ids : M distinct strings
    example_ids : N distinct strings, in the order of the upstream set
    domains : N strings, or None
    families : M strings or None each, or None; tasks of one family are left out together

    Raises
    ------
    MatrixEmpty, WrongShape, RepeatedTask, RepeatedExample, NotFinite, NothingObserved
    """

    forgetting: Values
    observed: Mask
    task_ids: Sequence[str]
    example_ids: Sequence[str]
    domains: tuple[str, ...] | None = None
    families: tuple[str | None, ...] | None = None

    def __post_init__(self) -> None:
        _check_shapes(self)
        _check_distinct(self.task_ids, RepeatedTask)
        _check_distinct(self.example_ids, RepeatedExample)
        empty = np.flatnonzero(~self.observed.any(axis=1))
        if empty.size:
            raise NothingObserved(f"Task {self.task_ids[empty[0]]!r} has no measured cell.")
        for task, row, observed in zip(self.task_ids, self.forgetting, self.observed, strict=True):
            bad = np.flatnonzero(observed & ~np.isfinite(row))
            if bad.size:
                example = self.example_ids[bad[0]]
                raise NotFinite(f"Forgetting of example {example!r} under task {task!r} is not a finite number.")

    @classmethod
    def from_arrays(
        cls,
        forgetting: ArrayLike,
        *,
        observed: ArrayLike | None = None,
        task_ids: Sequence[str] | None = None,
        example_ids: Sequence[str] | None = None,
        domains: Sequence[str] | None = None,
        families: Sequence[str | None] | None = None,
    ) -> ForgettingMatrix:
        """Matrix from plain arrays; ids are made when absent, and NaN is a missing cell when ``observed`` is.

        float32 and float64 are taken as they are, without a copy; anything else becomes float64.

        Raises
        ------
        The constructor's; WrongShape when ``forgetting`` is not two-dimensional.
        """
        values = _as_floats(forgetting)
        if values.ndim != 2:
            raise WrongShape(f"Forgetting has {values.ndim} dimensions; tasks by examples needs 2.")
        mask = _measured(values) if observed is None else np.asarray(observed, dtype=np.bool_)
        n_tasks, n_examples = values.shape
        return cls(
            forgetting=values,
            observed=mask,
            task_ids=tuple(task_ids) if task_ids is not None else NumberedIds("task-", n_tasks),
            example_ids=tuple(example_ids) if example_ids is not None else NumberedIds("", n_examples),
            domains=tuple(domains) if domains is not None else None,
            families=tuple(families) if families is not None else None,
        )

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
        return np.array(self.forgetting[task], dtype=np.float64)

    def filled(self, value: float = 0.0) -> Floats:
        """Copy of Z with every missing cell set to ``value``. (M, N)"""
        return np.where(self.observed, self.forgetting, value).astype(np.float64, copy=False)

    def with_tasks(self, rows: Sequence[int] | NDArray[np.intp]) -> ForgettingMatrix:
        """The matrix of these rows only, in this order.

        Raises
        ------
        MatrixEmpty, RepeatedTask
        """
        keep = [int(i) for i in rows]
        return ForgettingMatrix(
            forgetting=self.forgetting[keep],
            observed=self.observed[keep],
            task_ids=tuple(self.task_ids[i] for i in keep),
            example_ids=self.example_ids,
            domains=self.domains,
            families=None if self.families is None else tuple(self.families[i] for i in keep),
        )

    def with_examples(self, positions: Sequence[int] | NDArray[np.intp]) -> ForgettingMatrix:
        """The matrix of these upstream examples only; rows that lose every measured cell are left out.

        Raises
        ------
        MatrixEmpty, RepeatedExample
        """
        keep = [int(j) for j in positions]
        rows = np.flatnonzero(self.observed[:, keep].any(axis=1))
        matrix = self.with_tasks(rows)
        return replace(
            matrix,
            forgetting=matrix.forgetting[:, keep],
            observed=matrix.observed[:, keep],
            example_ids=tuple(self.example_ids[j] for j in keep),
            domains=None if self.domains is None else tuple(self.domains[j] for j in keep),
        )

    def without_tasks(self, rows: Collection[int]) -> ForgettingMatrix:
        """The matrix without these rows.

        Raises
        ------
        MatrixEmpty
            if none would be left
        """
        left_out = {int(i) for i in rows}
        return self.with_tasks([i for i in range(self.n_tasks) if i not in left_out])

    def left_out_together(self) -> list[list[int]]:
        """Rows in groups: one per family, and one per task that has no family."""
        groups: dict[tuple[str, str], list[int]] = {}
        for i, task in enumerate(self.task_ids):
            family = self.families[i] if self.families is not None else None
            groups.setdefault(("task", task) if family is None else ("family", family), []).append(i)
        return list(groups.values())

    def domain_positions(self) -> dict[str, NDArray[np.intp]]:
        """Positions of every domain's examples, in order of first appearance; empty without domains."""
        positions: dict[str, list[int]] = {}
        for j, domain in enumerate(self.domains or ()):
            positions.setdefault(domain, []).append(j)
        return {domain: np.array(found, dtype=np.intp) for domain, found in positions.items()}


def load_npz(path: str | Path) -> ForgettingMatrix:
    """Matrix from an ``.npz`` file: ``forgetting`` and, optionally, ``task``, ``example``, ``domain``, ``family``.

    NaN is a missing cell; an empty family is none. Rows that ``repeat_of`` names another task for are no known rows;
    `load_repeats` reads those. Nothing is unpickled.

    Raises
    ------
    UnreadableMatrix
        if there is no such file, it is no npz, it lacks ``forgetting`` or it holds Python objects
    The constructor's.
    """
    matrix, repeat_of = _read_npz(path)
    again = [row for row, task in enumerate(repeat_of) if task]
    return matrix.without_tasks(again) if again else matrix


def load_repeats(path: str | Path) -> list[Repeat]:
    """Tasks that an ``.npz`` file has twice: rows whose ``repeat_of`` is the id of another row's task.

    Raises
    ------
    UnreadableMatrix
        also if a task that is repeated has no row
    The constructor's.
    """
    matrix, repeat_of = _read_npz(path)
    row_of = {task: row for row, task in enumerate(matrix.task_ids)}
    repeats = []
    for second, task in enumerate(repeat_of):
        if task and task not in row_of:
            raise UnreadableMatrix(f"{path}: 'repeat_of' names {task!r}, which is no task of the file.")
        both = matrix.observed[second] & matrix.observed[row_of[task]] if task else np.zeros(0, dtype=np.bool_)
        if both.any():
            repeats.append(Repeat(task, matrix.row(row_of[task])[both], matrix.row(second)[both]))
    return repeats


def _read_npz(path: str | Path) -> tuple[ForgettingMatrix, list[str]]:
    """All rows of a file, and for each the task that it repeats, "" for none."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            arrays: dict[str, NDArray[Any]] = {name: file[name] for name in file.files}
        forgetting = _as_floats(arrays["forgetting"])
    except KeyError as error:
        raise UnreadableMatrix(f"{path} has no array named 'forgetting'.") from error
    except OSError as error:
        raise UnreadableMatrix(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        # numpy's own words advise to unpickle.
        raise UnreadableMatrix(f"{path} is not an npz file of numbers and strings; numpy.savez writes one.") from error
    families = _strings(arrays.get("family"))
    matrix = ForgettingMatrix.from_arrays(
        forgetting,
        task_ids=_strings(arrays.get("task")),
        example_ids=_strings(arrays.get("example")),
        domains=_strings(arrays.get("domain")),
        families=None if families is None else [family or None for family in families],
    )
    repeat_of = _strings(arrays.get("repeat_of")) or [""] * matrix.n_tasks
    if len(repeat_of) != matrix.n_tasks:
        raise WrongShape(f"{len(repeat_of)} entries of 'repeat_of' for {matrix.n_tasks} tasks.")
    return matrix, repeat_of


def _as_floats(forgetting: ArrayLike) -> Values:
    given = np.asanyarray(forgetting)
    if given.dtype in (np.float32, np.float64):
        return given
    return np.asarray(given, dtype=np.float64)


def _measured(values: Values) -> Mask:
    """Mask of the cells that are not NaN; where all are, one that takes no memory."""
    if any(np.isnan(row).any() for row in values):
        return ~np.isnan(values)
    return np.broadcast_to(np.True_, values.shape)


def _strings(array: NDArray[Any] | None) -> list[str] | None:
    return None if array is None else [str(item) for item in np.atleast_1d(array)]


def _check_shapes(matrix: ForgettingMatrix) -> None:
    shape = matrix.forgetting.shape
    if len(shape) != 2 or matrix.observed.shape != shape:
        raise WrongShape(
            f"Forgetting has shape {shape}, observed {matrix.observed.shape}; both must be tasks by examples."
        )
    if 0 in shape:
        raise MatrixEmpty(f"The matrix has {shape[0]} tasks and {shape[1]} upstream examples.")
    expected = {"task ids": (matrix.task_ids, shape[0]), "example ids": (matrix.example_ids, shape[1])}
    if matrix.domains is not None:
        expected["domains"] = (matrix.domains, shape[1])
    if matrix.families is not None:
        expected["families"] = (tuple(family or "" for family in matrix.families), shape[0])
    for name, (found, n_expected) in expected.items():
        if len(found) != n_expected:
            raise WrongShape(f"{len(found)} {name} for a matrix of {shape[0]} tasks by {shape[1]} examples.")


def _check_distinct(ids: Sequence[str], error: Callable[[str], Exception]) -> None:
    if isinstance(ids, NumberedIds) or len(set(ids)) == len(ids):
        return
    seen: set[str] = set()
    for found in ids:
        if found in seen:
            raise error(f"The id {found!r} appears twice.")
        seen.add(found)
