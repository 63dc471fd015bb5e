"""Arrays that are too wide to be copied whole are read a block of columns at a time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from forgetcast.completion.types import Floats, Values

BLOCK_CELLS = 1 << 19  # 4 MiB of float64: stays in the cache of a core


def column_slices(n_rows: int, n_columns: int) -> Iterator[slice]:
    """Slices of columns, in order, of about BLOCK_CELLS cells each."""
    width = max(1, BLOCK_CELLS // max(1, n_rows))
    for start in range(0, n_columns, width):
        yield slice(start, min(start + width, n_columns))


def column_blocks(values: Values) -> Iterator[tuple[slice, Floats]]:
    """The columns of an (M, N) array, block by block, as float64 copies that may be changed."""
    for block in column_slices(*values.shape):
        yield block, np.array(values[:, block], dtype=np.float64)
