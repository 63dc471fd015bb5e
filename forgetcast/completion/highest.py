"""The highest of a row, in order."""

from __future__ import annotations

import numpy as np

from forgetcast.completion.arguments import mask_of, whole_number
from forgetcast.completion.types import Floats, Indices, Mask


def highest(values: Floats, k: int, among: Mask | None = None) -> Indices:
    """Positions of the k highest values, highest first, ties in order of position; fewer if there are fewer.

    Parameters
    ----------
    values : (N,) floats
    among : (N,) bools, which positions may be chosen; all by default

    Raises
    ------
    OutOfRange
        if k is negative
    WrongKind, WrongShape
    """
    pool = np.arange(values.size, dtype=np.intp)
    if among is not None:
        pool = pool[mask_of("The mask of examples to choose among", among, values.size)]
    k = min(whole_number("The number of examples", k), pool.size)
    if k == 0:
        return pool[:0]
    chosen = values[pool]
    kth = np.partition(chosen, pool.size - k)[pool.size - k]
    found = np.flatnonzero(chosen >= kth)  # ties at the edge included, in order of position
    return pool[found[np.argsort(-chosen[found], kind="stable")[:k]]]
