""".npy files from outside: the header is believed only as far as the bytes behind it go."""

from __future__ import annotations

import math
from typing import BinaryIO

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from forgetcast.errors import InvalidRequest

LONGEST_HEADER = 10_000  # bytes; that of a plain array has 128


def read_floats(source: BinaryIO) -> NDArray[np.float32]:
    """The array of a .npy file as float32, in its own shape.

    Raises
    ------
    InvalidRequest : not a .npy file, objects instead of numbers, or another number of bytes than its shape says
    """
    try:
        version = npy.read_magic(source)
        read_header = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, by_columns, dtype = read_header(source, max_header_size=LONGEST_HEADER)
    except (ValueError, EOFError, OSError) as error:
        raise InvalidRequest(f"the body is not a .npy file that can be read: {str(error).splitlines()[0]}") from error
    if dtype.kind != "f":
        raise InvalidRequest("a row is one array of floating-point numbers, float32 (N,) in set order")
    content = source.read()
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise InvalidRequest(f"the .npy file says shape {shape} of {dtype}, and has {len(content)} bytes of it")
    values = np.frombuffer(content, dtype).reshape(shape, order="F" if by_columns else "C")
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    # What float32 does not hold was finite as it was sent, and is refused for its size.
    too_large = np.isinf(narrow) & np.isfinite(values)
    narrow[too_large] = np.copysign(np.finfo(np.float32).max, values[too_large])
    return narrow
