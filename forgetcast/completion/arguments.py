"""What functions of the completion may be given: numbers, masks, positions, names, each refused in words.

Numpy takes much for much: True for 1, 30.0 for 30, an array of 0 and 1 for a mask, "none" for three letters. Whoever
calls by mistake hears of it here, before a number comes out that means nothing.
"""

from __future__ import annotations

import operator
from typing import SupportsIndex

from forgetcast.errors import OutOfRange


def whole_number(name: str, value: SupportsIndex, *, at_least: int = 0) -> int:
    """An int, from Python or numpy; neither True nor 30.0.

    Raises
    ------
    OutOfRange
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)
    except TypeError:
        raise OutOfRange(f"{name} must be a whole number, not {value!r}.") from None
    if number < at_least:
        raise OutOfRange(f"{name} is {number}; it must not be below {at_least}.")
    return number
