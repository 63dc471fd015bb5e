"""Where a value lies among its draws, as a standard normal number; draws moved by what left-out rows say of that."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.drawn_errors import TAIL, DrawnErrors, Kind, Move
from forgetcast.gate.metrics import Metric, Question

STRAIGHT = 2.0  # score beyond which so few draws lie that the line through it is followed
LEAST_SPREAD = 1e-9
AT_RISK = 0.05  # share of draws on one side beyond which the tail is stretched, wholly from TAIL on
COUNTS = (Metric.SHARE_ABOVE, Metric.COUNT_ABOVE)


def score(drawn: Floats, truth: float) -> float:
    """Place of the truth among its draws, as a standard normal number; beyond nearly all of them by a straight line."""
    in_order = np.sort(drawn)
    n = in_order.size
    below = np.searchsorted(in_order, truth, side="left")
    tied = np.searchsorted(in_order, truth, side="right") - below
    found = NormalDist().inv_cdf(float(below + tied / 2 + 0.5) / (n + 1))
    if abs(found) <= STRAIGHT:
        return found
    share = NormalDist().cdf(STRAIGHT)
    middle = float(np.median(in_order))
    at = float(np.quantile(in_order, share if found > 0 else 1.0 - share))
    return STRAIGHT * (truth - middle) / max(abs(at - middle), LEAST_SPREAD)


def moved(drawn: Floats, move: Move) -> Floats:
    """Draws as they would be if truths lay among them as standard normal scores. The order stays."""
    n = drawn.size
    rank = np.empty(n)
    rank[np.argsort(drawn, kind="stable")] = np.arange(n)
    beyond = np.minimum(rank, n - 1 - rank) + 0.5  # draws as far out, or further, on the same side
    out = np.clip((AT_RISK - beyond / n) / (AT_RISK - TAIL), 0.0, 1.0)
    side = np.where(rank < n / 2, move.lower, move.upper)
    middle = float(np.median(drawn))
    centre = float(np.quantile(drawn, NormalDist().cdf(move.shift)))
    return np.asarray(centre + move.width * (1.0 + out * (side - 1.0)) * (drawn - middle))


def corrected(question: Question, drawn: Floats, errors: DrawnErrors, n_probes: int, n_examples: int) -> Floats:
    """Draws of a metric, moved and widened as left-out rows ask for; within what such a number can be."""
    wider = moved(drawn, errors.of(*_asked(question, drawn, n_probes, n_examples)))
    return np.clip(wider, 0.0, question.most) if question.metric in COUNTS else wider


def _asked(question: Question, drawn: Floats, n_probes: int, n_examples: int) -> tuple[Kind, int, float]:
    is_part = question.size < n_examples
    match question.metric:
        case Metric.PROTECTED:
            return Kind.LARGEST, n_probes, 0.0
        case Metric.MEAN:
            return Kind.PART_MEAN if is_part else Kind.ROW_MEAN, n_probes, 0.0
        case Metric.QUANTILE:
            place = question.parameter
        case _:
            place = 1.0 - float(np.median(drawn)) / question.most
    return Kind.PART if is_part else Kind.TAIL, n_probes, place
