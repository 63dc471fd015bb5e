"""Arrays as text in a trainer's state, which is JSON: exact, and a few bytes a number."""

from __future__ import annotations

import base64
import zlib
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def packed(values: NDArray[Any]) -> str:
    """One-dimensional numbers, little-endian, compressed, in base64."""
    return base64.b64encode(zlib.compress(values.astype(values.dtype.newbyteorder("<")).tobytes())).decode("ascii")


def unpacked(text: str, kind: DTypeLike) -> NDArray[Any]:
    """What `packed` made of numbers of this kind."""
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), np.dtype(kind).newbyteorder("<")).astype(kind)
