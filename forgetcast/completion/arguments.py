"""Numbers, masks, positions and measured cells that functions of the completion may be given; all else is refused.

Numpy takes much for much: True for 1, 30.0 for 30, an array of 0 and 1 for a mask, what lies under a mask for a number.
Whoever calls by mistake hears of it here, before a number comes out that means nothing.
"""

from __future__ import annotations

import operator
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.types import Floats, Indices, Mask, Values
from forgetcast.errors import (
    BeyondBelief,
    NotFinite,
    OutOfRange,
    RepeatedExample,
    UnknownExample,
    WrongKind,
    WrongShape,
)

LARGEST_FORGETTING = 1e4  # nats per token; one of 150,000 tokens guessed at random costs 12


def whole_number(name: str, value: Any, *, at_least: int = 0) -> int:
    """An int, from Python or numpy; neither True nor 30.0.

    Raises
    ------
    WrongKind, OutOfRange
    """
    try:
        if isinstance(value, bool | np.bool_ | np.ndarray):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise WrongKind(f"{name} must be a whole number, not {value!r}.") from None
    if number < at_least:
        raise OutOfRange(f"{name} is {number}; it must not be below {at_least}.")
    return number


def real_number(name: str, value: Any) -> float:
    """A float, from Python or numpy; neither True nor "0.9". NaN passes: no comparison holds for it.

    Raises
    ------
    WrongKind
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise WrongKind(f"{name} must be a number, not {value!r}.")
    return float(value)


def level_of_intervals(value: Any) -> float:
    """A share strictly between 0 and 1.

    Raises
    ------
    WrongKind, OutOfRange
    """
    level = real_number("The level", value)
    if not 0.0 < level < 1.0:
        raise OutOfRange(f"Level {level} must lie strictly between 0 and 1.")
    return level


def mask_of(name: str, value: Any, n: int) -> Mask:
    """Truth values, one an example. (n,)

    Raises
    ------
    WrongKind : anything but bools, for 0 and 1 may be positions
    WrongShape
    """
    found = plain(name, value)
    if found.dtype != np.bool_:
        raise WrongKind(f"{name} must be truth values, not {found.dtype}; positions are another thing than a mask.")
    if found.shape != (n,):
        raise WrongShape(f"{name} has shape {found.shape}, not ({n},).")
    return found


def positions_of(name: str, value: Any, n: int) -> Indices:
    """Distinct positions among n, from an array or a list of whole numbers. (S,)

    Raises
    ------
    WrongKind : floats, or truth values, which would be a mask
    WrongShape, UnknownExample, RepeatedExample
    """
    found = plain(name, value)
    if found.ndim != 1:
        raise WrongShape(f"{name} have {found.ndim} dimensions; a list of positions has 1.")
    if found.size and found.dtype.kind not in "iu":
        raise WrongKind(f"{name} must be positions, which are whole numbers, not {found.dtype}.")
    if found.size and not (found.min() >= 0 and found.max() < n):
        raise UnknownExample(f"A position of {name.lower()} lies outside 0 to {n - 1}.")
    positions = found.astype(np.intp, copy=False)
    if (positions[1:] > positions[:-1]).all():  # most are in order, and a sort of N of them is felt
        return positions
    ordered = np.sort(positions)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if twice.size:
        raise RepeatedExample(f"{name}: position {twice[0]} appears twice.")
    return positions


def floats_of(name: str, value: Any, n: int | None = None) -> Floats:
    """One number an example, or as many as there are; float64. (n,)

    Raises
    ------
    WrongKind, WrongShape
    """
    found = numbers_of(name, value)
    if found.ndim != 1 or (n is not None and found.size != n):
        raise WrongShape(f"{name}: shape {found.shape}, not {'one dimension' if n is None else f'({n},)'}.")
    return found.astype(np.float64, copy=False)


def measured_cells(probes: Any, forgetting: Any, n_examples: int) -> tuple[Indices, Floats]:
    """Positions and values of the measured cells of a row. (S,) both

    Raises
    ------
    WrongKind, WrongShape, UnknownExample, RepeatedExample, NotFinite, BeyondBelief
    """
    positions, values = positions_of("The probes", probes, n_examples), floats_of("The measured values", forgetting)
    if positions.shape != values.shape:
        raise WrongShape(f"{positions.size} probes, {values.size} measured values.")
    bad = np.flatnonzero(~(np.abs(values) <= LARGEST_FORGETTING))
    if bad.size:
        raise unbelievable(float(values[bad[0]]), f"of the probe at position {positions[bad[0]]}")
    return positions, values


def unbelievable(value: float, of_what: str) -> NotFinite | BeyondBelief:
    """The error for a measured value that no forgetting can have."""
    if not np.isfinite(value):
        return NotFinite(f"The forgetting {of_what} is not a finite number.")
    return BeyondBelief(
        f"The forgetting {of_what} is {value:g} nats per token; beyond {LARGEST_FORGETTING:,.0f} it is no measurement. "
        "Leave the cell out, or look at the run."
    )


def numbers_of(name: str, value: Any) -> Values:
    """An array of real numbers as it is when it is float32 or float64, as float64 when it is another kind of number.

    Raises
    ------
    WrongKind : texts, truth values, complex numbers, Python objects, and cells under a mask
    WrongShape : rows of different length
    """
    found = plain(name, value)
    if found.dtype in (np.float32, np.float64):
        return found
    if found.size and found.dtype.kind not in "iuf":
        raise WrongKind(f"{name} must be numbers, not {_kind(found)}.")
    return found.astype(np.float64)


def plain(name: str, value: Any) -> NDArray[Any]:
    """An array of numpy's own class, not copied; a memory map stays one.

    Raises
    ------
    WrongKind : a masked cell, which numpy would hand out as if it were measured
    WrongShape : rows of different length
    """
    if isinstance(value, np.memmap):
        return value
    if np.ma.is_masked(value):
        raise WrongKind(f"{name} must not have masked cells.")
    try:
        return np.asarray(value)
    except ValueError as error:
        raise WrongShape(f"{name}: rows of different length make no array.") from error


def _kind(array: NDArray[Any]) -> str:
    if array.dtype != np.object_:
        return str(array.dtype)
    odd = next((item for item in array.flat if not isinstance(item, Real)), array.flat[0])
    return f"Python objects such as {odd!r}; NaN stands for a missing number"
