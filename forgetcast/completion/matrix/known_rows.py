"""The known rows as a fit reads them: every missing cell filled, their products at hand, a sample of columns drawn.

Notation
    Z         known rows                     (M, N)  nats per token
    observed  which cells were measured      (M, N)  bool
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forgetcast.completion.blocks import column_blocks
from forgetcast.completion.draws import Draws
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.matrix.imputation import impute
from forgetcast.completion.matrix.task_gram import TaskGram, measure_gram
from forgetcast.completion.types import Floats, Indices, Mask, Values

SAMPLE_COLUMNS = 4096  # distances between rows are taken over these; over all columns of a narrower matrix
SAMPLE_SEED = 0


@dataclass(frozen=True, eq=False)
class KnownRows:
    """values (M, N), complete; observed (M, N), or None when every cell was measured."""

    values: Values
    observed: Mask | None
    gram: TaskGram

    @property
    def n_tasks(self) -> int:
        return int(self.values.shape[0])

    @property
    def n_examples(self) -> int:
        return int(self.values.shape[1])

    def without(self, rows: Sequence[int]) -> KnownRows:
        """The others; their products are at hand, and missing cells stay as they were filled from all rows."""
        kept = np.setdiff1d(np.arange(self.n_tasks), rows)
        observed = None if self.observed is None else self.observed[kept]
        return KnownRows(self.values[kept], observed, self.gram.of_rows(kept))

    @cached_property
    def mean(self) -> Values:
        """Mean of every column. (N,)"""
        mean = np.empty(self.n_examples, dtype=self.values.dtype)
        for block, cells in column_blocks(self.values):
            mean[block] = cells.mean(axis=0)
        return mean

    @cached_property
    def n_observed(self) -> Floats:
        """Measured cells of every column. (N,)"""
        if self.observed is None:
            return np.full(self.n_examples, float(self.n_tasks))
        return np.asarray(self.observed.sum(axis=0), dtype=np.float64)

    @cached_property
    def sample(self) -> Indices:
        """Columns that stand for all where every column would cost too much: all of them, or a seeded choice."""
        if self.n_examples <= SAMPLE_COLUMNS:
            return np.arange(self.n_examples, dtype=np.intp)
        return np.sort(Draws(SAMPLE_SEED).beginning_of_permutation(self.n_examples, SAMPLE_COLUMNS))


def known_rows(matrix: ForgettingMatrix, rank: int, earlier: TaskGram | None = None) -> KnownRows:
    """Known rows of a matrix; missing cells are filled by factors of this rank.

    A matrix with missing cells costs one filled copy of it; `earlier` saves products of rows it knew (see task_gram).
    """
    if matrix.is_complete:
        return KnownRows(matrix.forgetting, None, measure_gram(matrix.forgetting, earlier))
    filled = impute(matrix.forgetting, matrix.observed, rank).astype(matrix.forgetting.dtype, copy=False)
    return KnownRows(filled, matrix.observed, measure_gram(filled))
