"""Which examples a task will lose: what was measured, and how probable it is of every other one.

Notation
    probability  of being lost                    (N,)  0 or 1 where measured
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.arguments import level_of_intervals, positions_of
from forgetcast.completion.highest import highest
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.probe_mean import FEWEST_IN_PART, FEWEST_PROBES, Interval, share_by_probes


@dataclass(frozen=True, eq=False)
class LostForecast:
    """Completed row. probability (N,), in the order of the matrix's columns; measured (N,) bools

    probes (S,) ints; lost (S,) floats, 0 and 1; left_out (S,) floats, how probable the other probes made each
    at_random : (S,) bools, which of them were drawn at random
    """

    probability: Floats
    measured: Mask
    probes: Indices
    lost: Floats
    left_out: Floats
    at_random: Mask

    @property
    def expected_share(self) -> float:
        """Share of the row that is lost, by the model."""
        return float(self.probability.mean())

    def share_lost(self, positions: Indices | None = None, level: float = 0.9) -> Interval | None:
        """Share of the row, or of some positions, that is lost; the interval holds whatever the model gets wrong.

        None with too few random probes: two for the row, five for a part of it.

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind, OutOfRange
        """
        level = level_of_intervals(level)
        if positions is None:
            among, inside, fewest = np.arange(self.probability.size), self.at_random, FEWEST_PROBES
        else:
            among = positions_of("The positions", positions, self.probability.size)
            inside, fewest = self.at_random & np.isin(self.probes, among), FEWEST_IN_PART
        if np.count_nonzero(inside) < fewest:
            return None
        measured = self.measured[among]
        return share_by_probes(
            int(self.probability[among[measured]].sum()),
            float(self.probability[among[~measured]].sum()),
            int(np.count_nonzero(~measured)),
            among.size,
            self.lost[inside],
            self.left_out[inside],
            level,
        )

    def top(self, k: int, among: Mask | None = None) -> Indices:
        """Positions of the k most probably lost, most probable first, ties in order of position; fewer if there are
        fewer.

        Raises
        ------
        OutOfRange, WrongKind, WrongShape
        """
        return highest(self.probability, k, among)
