"""What an assertion can be about: one number of a row.

Notation
    K   cells that a question reads
    k   rank of the quantile: the smallest number of cells that are a share q of K
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from math import ceil

import numpy as np

from forgetcast.completion.types import Floats, Indices


class Metric(StrEnum):
    """Names as policies have them."""

    MEAN = "mean_forgetting"
    QUANTILE = "quantile"
    SHARE_ABOVE = "share_above"
    COUNT_ABOVE = "count_above"
    PROTECTED = "protected"


UNITS = {
    Metric.MEAN: "nats per token",
    Metric.QUANTILE: "nats per token",
    Metric.SHARE_ABOVE: "share of examples",
    Metric.COUNT_ABOVE: "examples",
    Metric.PROTECTED: "nats per token",
}


@dataclass(frozen=True, eq=False)
class Question:
    """A metric of some cells of a row.

    positions : (K,) ints, not empty
    parameter : q of a quantile; the limit, nats per token, that counted examples lie above; nothing else has one
    """

    metric: Metric
    positions: Indices
    parameter: float = 0.0

    @property
    def size(self) -> int:
        """K."""
        return int(self.positions.size)

    @property
    def rank(self) -> int:
        """Place of the quantile among the sorted cells, from 0: at most a limit exactly if k cells are."""
        return min(self.size, max(1, ceil(self.parameter * self.size - 1e-9))) - 1

    @property
    def most(self) -> float:
        """What a count or a share is at most."""
        return float(self.size) if self.metric == Metric.COUNT_ABOVE else 1.0

    def of_count(self, n_above: Floats) -> Floats:
        """What so many cells above the parameter are: a count, or a share."""
        return n_above if self.metric == Metric.COUNT_ABOVE else n_above / self.size


def value_of(question: Question, values: Floats) -> float:
    """The metric of cells that are all known.

    Parameters
    ----------
    values : (K,) floats, forgetting of the question's cells, nats per token
    """
    match question.metric:
        case Metric.MEAN:
            return float(values.mean())
        case Metric.QUANTILE:
            return float(np.partition(values, question.rank)[question.rank])
        case Metric.PROTECTED:
            return float(values.max())
        case _:
            above = np.array([np.count_nonzero(values > question.parameter)], dtype=np.float64)
            return float(question.of_count(above)[0])
