"""The mean of a new row as a few numbers, from which any columns can be written down.

Notation
    M, N  known rows, upstream examples      S  probes of the new row
    f     forecast from all probes                                     (N,)  nats per token
    h_k   forecast of probe k from the other probes, less the mean of f (S,)
    e_k   what probe k lies above that forecast                         (S,)
    v_k   variance of e_k by the factor model                           (S,)
    g     stretch: the forecast is f + g (f - mean of f); prior N(-a, STRETCH^2) beside e of unit scale
    a     share of the variance of column means that is noise: with one known row half of its pattern is its own

The pattern of the nearest known rows may be more or less marked in the new row. How much so, its own probes tell:
e = g h + noise, g shrunk toward -a. Rows unlike the known ones have a pattern of their own, and there g damps what
would otherwise stand at the top of the list by mistake.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from forgetcast.completion.blocks import column_slices
from forgetcast.completion.models.factor_model import FactorModel, ProbedRow
from forgetcast.completion.models.local_model import Combination, LocalModel, bounded, combined
from forgetcast.completion.types import Floats, Indices

# Trained on languages alone, the rest of the bundled matrix is forecast with a top 5% that is 24% too high instead of
# 37%, RMSE -3%; OLMo FLAN to Tulu 3% instead of 8%, RMSE unchanged; in domain RMSE +0.3%.
STRETCH = 0.1


@dataclass(frozen=True, eq=False)
class MeanForecast:
    """`factor` and the row's w alone, or blended with `local` and its combination; measured cells as measured."""

    factor: FactorModel
    row: ProbedRow
    local: LocalModel | None = None
    combination: Combination | None = None
    factor_share: float = 1.0

    def everywhere(self) -> Floats:
        """Mean of the whole row at once, nats per token, also where it was measured. (N,)"""
        return self._forecast(slice(0, self.factor.n_examples))

    def columns(self, block: slice) -> Floats:
        """Mean of a block of columns, nats per token; measured cells as measured."""
        forecast = self._forecast(block)
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

    @cached_property
    def centre(self) -> float:
        """Mean of f. The loadings of factors sum to 0 over the columns, those of the row shift are all the same."""
        shift = float(self.row.w[0] * self.factor.loadings[0, 0])
        if self.local is not None:
            shift = self.factor_share * shift + (1.0 - self.factor_share) * self._local_shift
        return self.factor.mean_of_mean + shift

    @cached_property
    def left_out(self) -> Floats:
        """What each probe lies above the stretched forecast from the others, nats per token. (S,)"""
        return self._left_out_unstretched - self.stretch * self._pattern

    @cached_property
    def stretch(self) -> float:
        """g; never below -1, where nothing is left of the pattern. 0 for column means and a shift alone."""
        if self.local is None and self.factor.loadings.shape[0] == 1:
            return 0.0
        prior, precision, pattern = 1.0 / STRETCH**2, 1.0 / self.row.left_out_variance, self._pattern
        told = float(precision @ (pattern * self._left_out_unstretched)) - prior * self.factor.mean_noise
        return max(-1.0, told / (prior + float(precision @ pattern**2)))

    @cached_property
    def _left_out_unstretched(self) -> Floats:
        """e. (S,)"""
        if self.combination is None:
            return self.row.left_out
        return self.factor_share * self.row.left_out + (1.0 - self.factor_share) * self.combination.left_out

    @cached_property
    def _pattern(self) -> Floats:
        """h. (S,)"""
        return self.row.forgetting - self._left_out_unstretched - self.centre

    @cached_property
    def _local_shift(self) -> float:
        """How far the local forecast lies from the column means, over the whole row."""
        assert self.local is not None and self.combination is not None
        return float(self.combination.rows @ self.local.plain_means + self.combination.constant)

    def _forecast(self, block: slice) -> Floats:
        """The stretched forecast of some columns."""
        mean = np.asarray(self.factor.mean[block], dtype=np.float64)
        loadings = self.factor.loadings
        forecast: Floats = mean + (self.row.w.astype(loadings.dtype) @ loadings[:, block])
        if self.local is not None and self.combination is not None:
            near = combined(self.local, self.combination, block)
            forecast = self.factor_share * forecast + (1.0 - self.factor_share) * near
            # Every column may go as much further as the row as a whole does.
            forecast = bounded(self.local, forecast, abs(self._local_shift), block)
        forecast *= 1.0 + self.stretch
        forecast -= self.stretch * self.centre
        return forecast


def most_forgotten(mean: MeanForecast, k: int) -> tuple[Indices, Floats]:
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
