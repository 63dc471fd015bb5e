"""Probabilities made to come true: logits of left-out rows beside what became of them, by number of probes.

Notation
    x     logit of a cell by the model                      (n,)
    y     1 where the example was lost, 0 where it was kept (n,)
    p     the probability that is told, sigmoid(a + b x)

Source: Platt (1999), Probabilistic Outputs for Support Vector Machines.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.exact_match.newton import Regressions, Same
from forgetcast.completion.types import Floats

PROBE_COUNTS = (0, 1, 3, 10, 30, 100)
CELLS_OF_A_ROW = 30.0  # what its cells count for together: they share the row's errors
DOUBT = (0.5, 0.5)  # prior standard deviations of a around 0 and of b around 1


@dataclass(frozen=True, eq=False)
class ProbabilityCalibration:
    """a and b at each of PROBE_COUNTS. (L,) both"""

    shift: Floats
    slope: Floats

    def __call__(self, logits: Same, n_probes: int) -> Same:
        """Calibrated logits for a row with so many probes; between two numbers learned, in the logarithm of them."""
        place, known = np.log1p(n_probes), np.log1p(PROBE_COUNTS)
        shift, slope = (float(np.interp(place, known, of)) for of in (self.shift, self.slope))
        found: Same = np.add(shift, slope * logits)
        return found


@dataclass(frozen=True, eq=False)
class LeftOutLogits:
    """A left-out row: its cells that were no probe, forecast from so many. logits, lost (n,)"""

    n_probes: int
    logits: Floats
    lost: Floats


def usual_calibration() -> ProbabilityCalibration:
    """Probabilities as the model has them, where too few rows are known to learn more."""
    return ProbabilityCalibration(np.zeros(len(PROBE_COUNTS)), np.ones(len(PROBE_COUNTS)))


def calibrate(rows: Sequence[LeftOutLogits]) -> ProbabilityCalibration:
    """a and b under which left-out rows are most probable, every row weighing the same."""
    found = usual_calibration()
    for place, count in enumerate(PROBE_COUNTS):
        at_count = [row for row in rows if row.n_probes == count and row.lost.size]
        if at_count:
            found.shift[place], found.slope[place] = _most_probable(at_count)
        elif place and rows:  # rows too narrow for so many probes
            found.shift[place], found.slope[place] = found.shift[place - 1], found.slope[place - 1]
    return found


def _most_probable(rows: list[LeftOutLogits]) -> tuple[float, float]:
    logits = np.concatenate([row.logits for row in rows])
    lost = np.concatenate([row.lost for row in rows])
    weight = np.concatenate([np.full(row.lost.size, min(1.0, CELLS_OF_A_ROW / row.lost.size)) for row in rows])
    regression = Regressions(
        features=np.column_stack([np.ones(logits.size), logits]),
        lost=lost[None, :],
        weight=weight[None, :],
        offset=np.zeros(logits.size),
        centre=np.array([0.0, 1.0]),
        ridge=1.0 / np.square(DOUBT),
    )
    shift, slope = regression.minimum(np.array([[0.0, 1.0]]))[0]
    return float(shift), max(float(slope), 0.05)  # a ranking is never turned round
