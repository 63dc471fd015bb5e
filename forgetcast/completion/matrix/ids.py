"""Names of tasks, examples, domains and families, as they come from files and frames.

A name is a text. Bytes are its UTF-8 form, which is how HDF5 and numpy's `S` arrays keep texts, and a whole number is
its decimal form, which is what a frame without an index of its own has. Anything else is refused: a float or None that
became "nan" or "None" would be one name for many.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, overload

import numpy as np

from forgetcast.errors import WrongKind


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


def names_of(what: str, names: Iterable[Any]) -> tuple[str, ...]:
    """Names as texts; `what` they are is said in errors.

    Raises
    ------
    WrongKind
    """
    if isinstance(names, str | bytes):
        raise WrongKind(f"{what} must be a list of names, not the text {names!r}.")
    items = _items(names)
    if set(map(type, items)) == {str} and "\0" not in "".join(items):  # as nearly always, and N may be millions
        return tuple(items)
    return tuple(_name(what, name) for name in items)


def names_or_none(what: str, names: Iterable[Any]) -> tuple[str | None, ...]:
    """The same where a name may be absent: None, an empty text, or the NaN that a frame has for nothing."""
    if isinstance(names, str | bytes):
        raise WrongKind(f"{what} must be a list of names, not the text {names!r}.")
    return tuple(None if _is_absent(name) else _name(what, name) or None for name in _items(names))


def check_names(what: str, names: Sequence[str]) -> None:
    """Raise WrongKind unless all are texts: what `names_of` has made."""
    if isinstance(names, NumberedIds):
        return
    if isinstance(names, str) or not set(map(type, names)) <= {str}:
        raise WrongKind(f"{what} must be a list of texts; ForgettingMatrix.from_arrays makes them of other names.")


def _items(names: Iterable[Any]) -> list[Any]:
    """Python's own objects, of an array too."""
    try:
        return names.tolist() if isinstance(names, np.ndarray) and names.ndim == 1 else list(names)
    except TypeError:
        raise WrongKind(f"A list of names is needed, not {names!r}.") from None


def _is_absent(name: Any) -> bool:
    return name is None or (isinstance(name, float | np.floating) and bool(np.isnan(name)))


def _name(what: str, name: Any) -> str:
    if type(name) is str:
        text = name
    elif isinstance(name, str):  # numpy's
        text = str(name)
    elif isinstance(name, bytes):
        try:
            text = name.decode("utf-8")
        except UnicodeDecodeError:
            raise WrongKind(f"{what} must be texts; the bytes {name!r} are not UTF-8.") from None
    elif isinstance(name, int | np.integer) and not isinstance(name, bool):
        text = str(int(name))
    else:
        raise WrongKind(f"{what} must be texts or whole numbers, not {name!r}.")
    if "\0" in text:  # which arrays of texts drop at the end
        raise WrongKind(f"{what} must not hold NUL, as {text!r} does.")
    return text
