"""Column means, a row shift and the first factors of the known rows."""

from __future__ import annotations

from dataclasses import dataclass

from forgetcast.completion.models.factor_model import LARGEST_RANK, FactorModel, ProbedRow
from forgetcast.completion.models.local_model import LocalModel
from forgetcast.completion.models.mean_forecast import MeanForecast


@dataclass(frozen=True)
class Factor:
    """The factor model's own mean."""

    name: str
    largest_rank: int
    ranks_alike: bool
    combines_rows: bool = False

    def mean(self, factors: FactorModel, local: LocalModel | None, row: ProbedRow) -> MeanForecast:
        return MeanForecast(factors, row)

    def told(self, factors: FactorModel, row: ProbedRow) -> ProbedRow:
        return row


FACTOR = Factor("factor", LARGEST_RANK, ranks_alike=False)
