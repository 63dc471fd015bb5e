"""What a completion method is: how the mean of a new row is made. A new method is a file like its neighbours.

Whatever the method, the variance of every cell and average comes from the factor model that it is fitted with, and the
intervals from rows that were left out and forecast by the method itself.
"""

from __future__ import annotations

from typing import Protocol

from forgetcast.completion.models.factor_model import FactorModel, ProbedRow
from forgetcast.completion.models.local_model import LocalModel
from forgetcast.completion.models.mean_forecast import MeanForecast


class Method(Protocol):
    """A completion method with intervals.

    name : what callers say
    largest_rank : factors beside the row shift, at most
    combines_rows : whether it needs a local model, whose noise share is then chosen by leaving rows out
    ranks_alike : whether every task gets the same ranking: a baseline, never sold as task-specific
    """

    @property
    def name(self) -> str: ...

    @property
    def largest_rank(self) -> int: ...

    @property
    def combines_rows(self) -> bool: ...

    @property
    def ranks_alike(self) -> bool: ...

    def mean(self, factors: FactorModel, local: LocalModel | None, row: ProbedRow) -> MeanForecast:
        """Mean of every cell of a row, given what it was told of the probes."""
        ...

    def told(self, factors: FactorModel, row: ProbedRow) -> ProbedRow:
        """What the method takes from the probes: the row itself, or less."""
        ...
