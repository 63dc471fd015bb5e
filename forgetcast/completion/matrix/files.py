"""Forgetting matrices as `.npz` files: plain arrays of numbers and texts, one row a task or a repeat of one.

What an array is called says what it is, and an array that nothing here knows is refused by name: a file whose ids or
whose mask went unread would give a matrix of numbered examples with cells that nobody has measured.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.matrix.ids import names_or_none
from forgetcast.completion.matrix.repeats import Origin
from forgetcast.errors import UnreadableMatrix, WrongKind, WrongShape

# What an argument of `ForgettingMatrix.from_arrays` may be called in a file; the first name is the one that is written.
NAMES = {
    "forgetting": ("forgetting",),
    "observed": ("observed",),
    "task_ids": ("task", "task_ids"),
    "example_ids": ("example", "example_ids"),
    "domains": ("domain", "domains"),
    "families": ("family", "families"),
    "held_out": ("held_out",),
    "repeat_of": ("repeat_of",),
}
ORIGIN_NAMES = ("seed", "n_examples", "dataset")
NOT_KNOWN = {"seed": -1, "n_examples": 0, "dataset": ""}  # how a file says None


def read_matrix_file(path: str | Path) -> dict[str, Any]:
    """The arguments of `ForgettingMatrix.from_arrays`.

    Raises
    ------
    UnreadableMatrix, WrongKind, WrongShape
    """
    return arguments_of_arrays(read_npz(path), path)


def arguments_of_arrays(arrays: dict[str, NDArray[Any]], path: str | Path) -> dict[str, Any]:
    """The arguments of `ForgettingMatrix.from_arrays`, from the arrays that the file at `path` holds.

    Raises
    ------
    UnreadableMatrix, WrongKind, WrongShape
    """
    spelt = {name: argument for argument, names in NAMES.items() for name in names}
    unknown = [name for name in arrays if name not in spelt and name not in ORIGIN_NAMES]
    if unknown:
        raise UnreadableMatrix(
            f"{path} has an array named {unknown[0]!r}, which says nothing here; the names are "
            f"{', '.join([*spelt, *ORIGIN_NAMES])}."
        )
    found: dict[str, Any] = {}
    for name, argument in spelt.items():
        if name in arrays:
            if argument in found:
                raise UnreadableMatrix(f"{path} has {' and '.join(map(repr, NAMES[argument]))}; one of them is enough.")
            found[argument] = arrays[name]
    if "forgetting" not in found:
        raise UnreadableMatrix(f"{path} has no array named 'forgetting'.")
    origins = _origins(arrays, len(np.atleast_1d(found["forgetting"])))
    return found if origins is None else {**found, "origins": origins}


def write_matrix_file(path: str | Path, arguments: Mapping[str, Any]) -> None:
    """The file that has these arguments of `ForgettingMatrix.from_arrays`, without those that are None."""
    with open(path, "wb") as file:
        np.savez_compressed(file, allow_pickle=False, **arrays_of_arguments(arguments))


def arrays_of_arguments(arguments: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """What `arguments_of_arrays` reads back."""
    arrays: dict[str, NDArray[Any]] = {}
    for argument, (name, *_others) in NAMES.items():
        given = arguments.get(argument)
        if given is not None:
            arrays[name] = given if isinstance(given, np.ndarray) else np.array([one or "" for one in given])
    return arrays | _columns(arguments.get("origins") or ())


def read_npz(path: str | Path) -> dict[str, NDArray[Any]]:
    """Every array of a file by name; nothing is unpickled. Raises UnreadableMatrix."""
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UnreadableMatrix(f"{path} cannot be read: {error.strerror or error}.") from error
    except (ValueError, TypeError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        # numpy's own words advise to unpickle.
        raise UnreadableMatrix(f"{path} is not an npz file of numbers and strings; numpy.savez writes one.") from error


def _origins(arrays: dict[str, NDArray[Any]], n_rows: int) -> list[Origin] | None:
    """What the file says of how each row came about; None when it says nothing."""
    given = [name for name in ORIGIN_NAMES if name in arrays]
    if not given:
        return None
    columns = {name: _column(name, arrays[name], n_rows) for name in given}
    return [Origin(**{name: columns[name][row] for name in given}) for row in range(n_rows)]


def _column(name: str, array: NDArray[Any], n_rows: int) -> list[Any]:
    if array.shape != (n_rows,):
        raise WrongShape(f"The array {name!r} has shape {array.shape} for {n_rows} rows.")
    if name == "dataset":
        return list(names_or_none("The entries of dataset", array))
    if array.dtype.kind not in "iu":
        raise WrongKind(f"The array {name!r} must be whole numbers, not {array.dtype}; {NOT_KNOWN[name]} is not known.")
    return [None if number <= NOT_KNOWN[name] else number for number in array.tolist()]


def _columns(origins: Sequence[Origin]) -> dict[str, NDArray[Any]]:
    """Of every fact that is known of some row, what it is for each."""
    columns = {name: [getattr(origin, name) for origin in origins] for name in ORIGIN_NAMES}
    return {
        name: np.array([NOT_KNOWN[name] if fact is None else fact for fact in facts])
        for name, facts in columns.items()
        if any(fact is not None for fact in facts)
    }
