"""Products of every two known rows: all that a fit needs of M x N cells beside one value a column.

Notation
    Z  known rows                              (M, N)  nats per token
    c  a fixed reference value of every column (N,)    the column mean of the first fit, which keeps sums small
    G  (Z - c)(Z - c)'                         (M, M)  squared nats per token, summed over columns
    s  row sums of Z - c                       (M,)

A row that was there in an earlier version keeps its products, so another row costs M x N and not M x M x N.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.blocks import column_blocks
from forgetcast.completion.types import Floats, Indices, Values


@dataclass(frozen=True, eq=False)
class TaskGram:
    """reference (N,), c; products (M, M), G; sums (M,), s; digests (M, 32) bytes, of every row's cells."""

    reference: Values
    products: Floats
    sums: Floats
    digests: NDArray[np.uint8]

    def of_rows(self, rows: Indices) -> TaskGram:
        """The products of some rows."""
        return TaskGram(self.reference, self.products[np.ix_(rows, rows)], self.sums[rows], self.digests[rows])

    def deviations(self) -> Floats:
        """Products of the rows' deviations from the column means. (M, M)"""
        centred = self.products - self.products.mean(axis=0)
        both: Floats = centred - centred.mean(axis=1, keepdims=True)
        return (both + both.T) / 2

    def row_shifts(self) -> Floats:
        """Mean of every row's deviation from the column means. (M,), sums to 0"""
        shifts: Floats = (self.sums - self.sums.mean()) / self.reference.size
        return shifts


def measure_gram(values: Values, earlier: TaskGram | None = None) -> TaskGram:
    """Products of every two rows of a complete matrix (M, N); those of rows that `earlier` knew are taken over."""
    digests = np.stack([_digest(row) for row in values])
    if earlier is None or earlier.reference.size != values.shape[1]:
        return _measure_all(values, digests)
    place = {digest.tobytes(): i for i, digest in enumerate(earlier.digests)}
    known = np.array([place.get(digest.tobytes(), -1) for digest in digests], dtype=np.intp)
    new = np.flatnonzero(known < 0)
    if 2 * new.size > known.size:
        return _measure_all(values, digests)
    products, sums = earlier.products[np.ix_(known, known)], earlier.sums[known]
    if new.size:
        across, sums[new] = _against_all(values, new, earlier.reference)
        products[new], products[:, new] = across, across.T
    return TaskGram(earlier.reference, products, sums, digests)


def _measure_all(values: Values, digests: NDArray[np.uint8]) -> TaskGram:
    n_tasks, n_examples = values.shape
    reference = np.zeros(n_examples, dtype=values.dtype)
    products = np.zeros((n_tasks, n_tasks))
    sums = np.zeros(n_tasks)
    for block, cells in column_blocks(values):
        reference[block] = cells.mean(axis=0)
        cells -= reference[block]
        products += cells @ cells.T
        sums += cells.sum(axis=1)
    return TaskGram(reference, products, sums, digests)


def _against_all(values: Values, new: Indices, reference: Values) -> tuple[Floats, Floats]:
    """Products of the new rows with every row (n, M), and the new rows' sums (n,)."""
    across, sums = np.zeros((new.size, values.shape[0])), np.zeros(new.size)
    for block, cells in column_blocks(values):
        cells -= reference[block]
        across += cells[new] @ cells.T
        sums += cells[new].sum(axis=1)
    return across, sums


def _digest(row: Values) -> NDArray[np.uint8]:
    return np.frombuffer(hashlib.sha256(np.ascontiguousarray(row).data).digest(), dtype=np.uint8)
