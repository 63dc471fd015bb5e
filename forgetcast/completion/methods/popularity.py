"""Baseline: the column means whatever the probes say; measured cells as measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.models.factor_model import FactorModel, ProbedRow
from forgetcast.completion.models.local_model import LocalModel
from forgetcast.completion.models.mean_forecast import MeanForecast


@dataclass(frozen=True)
class Popularity:
    """Ranks every task alike; it stands beside the model so that its gain can be seen."""

    name: str = "popularity"
    largest_rank: int = 0
    combines_rows: bool = False
    ranks_alike: bool = True

    def mean(self, factors: FactorModel, local: LocalModel | None, row: ProbedRow) -> MeanForecast:
        return MeanForecast(factors, row)

    def told(self, factors: FactorModel, row: ProbedRow) -> ProbedRow:
        return replace(
            row,
            w=np.zeros_like(row.w),
            root=np.eye(row.w.size),
            left_out=row.deviation,
            left_out_variance=row.noise + np.sum(row.loadings**2, axis=0),
        )


POPULARITY = Popularity()
