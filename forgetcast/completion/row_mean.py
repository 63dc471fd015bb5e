"""The mean of a new row as a few numbers, from which any block of columns can be written down.

Notation
    M, N  known rows, upstream examples
    w     posterior mean of the row shift and factors   (R,)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.blocks import column_slices
from forgetcast.completion.factor_model import Conditioned, FactorModel
from forgetcast.completion.local_model import Combination, LocalModel, bounded, combined
from forgetcast.completion.types import Floats, Indices

FACTOR_SHARE = 0.15  # of the factor model in the blend: 0.1 to 0.2 within 0.03% of RMSE; none costs 0.2%


@dataclass(frozen=True, eq=False)
class RowMean:
    """`factor` and the row's w alone, or blended with `local` and its combination; measured cells as measured."""

    factor: FactorModel
    row: Conditioned
    local: LocalModel | None = None
    combination: Combination | None = None
    factor_share: float = 1.0

    def columns(self, block: slice) -> Floats:
        """Mean of a block of columns, nats per token; measured cells as measured."""
        mean = np.asarray(self.factor.mean[block], dtype=np.float64)
        forecast: Floats = mean + (self.row.w.astype(self.factor.loadings.dtype) @ self.factor.loadings[:, block])
        if self.local is not None and self.combination is not None:
            near = combined(self.local, self.combination, block)
            forecast = self.factor_share * forecast + (1.0 - self.factor_share) * near
            forecast = bounded(self.local, forecast, self._shift(), block)
        inside = (self.row.probes >= block.start) & (self.row.probes < block.stop)
        forecast[self.row.probes[inside] - block.start] = self.row.forgetting[inside]
        return forecast

    def all_columns(self) -> Floats:
        """Mean of the whole row. (N,)"""
        row = np.empty(self.factor.n_examples)
        for block in self.slices():
            row[block] = self.columns(block)
        return row

    def slices(self) -> list[slice]:
        """The blocks that cover the row."""
        n_rows = 1 if self.local is None else self.local.rows.shape[0]
        return list(column_slices(max(n_rows, self.factor.loadings.shape[0]), self.factor.n_examples))

    def _shift(self) -> float:
        """How far the row as a whole lies from the column means; every column may go that much further."""
        assert self.local is not None and self.combination is not None
        near = self.combination.rows @ self.local.plain_means + self.combination.constant
        return abs(float(near))


def most_forgotten(mean: RowMean, k: int) -> tuple[Indices, Floats]:
    """Positions and means of the k highest, highest first, ties by position; reads the row once and keeps one block.

    For rows too wide to be written down. `RowForecast.top` answers from a whole row that is there anyway.
    """
    positions = np.zeros(0, dtype=np.intp)
    highest = np.zeros(0)
    for block in mean.slices():
        forecast = mean.columns(block)
        bar = highest[-1] if highest.size == k and k else -np.inf
        found = np.flatnonzero(forecast > bar)
        if found.size:
            values = np.concatenate([highest, forecast[found]])
            order = np.argsort(-values, kind="stable")[:k]
            positions = np.concatenate([positions, found + block.start])[order]
            highest = values[order]
    return positions, highest
