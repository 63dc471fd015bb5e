"""Where a value lies among its draws, as a standard normal number; draws moved by what left-out rows say of that."""

from __future__ import annotations

from statistics import NormalDist

import numpy as np

from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.drawn_errors import DrawnErrors
from forgetcast.gate.metrics import Metric, Question

STRAIGHT = 2.0  # score beyond which so few draws lie that the line through it is followed
LEAST_SPREAD = 1e-9


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


def moved(drawn: Floats, shift: float, width: float) -> Floats:
    """Draws as they would be if truths lay among them as standard normal scores."""
    middle = float(np.median(drawn))
    centre = float(np.quantile(drawn, NormalDist().cdf(shift)))
    return centre + width * (drawn - middle)


def corrected(question: Question, drawn: Floats, errors: DrawnErrors, n_probes: int, n_examples: int) -> Floats:
    """Draws of a metric, moved and widened as left-out rows ask for; within what such a number can be.

    Means are left as they are, for their errors were learned in the forecast.
    """
    match question.metric:
        case Metric.MEAN:
            return drawn
        case Metric.PROTECTED:
            return moved(drawn, *errors.of_largest(n_probes))
    if question.size < n_examples:
        found = errors.of_part(n_probes)
    elif question.metric == Metric.QUANTILE:
        found = errors.of_tail(n_probes, question.parameter)
    else:
        found = errors.of_tail(n_probes, 1.0 - float(np.median(drawn)) / question.most)
    wider = moved(drawn, *found)
    return wider if question.metric == Metric.QUANTILE else np.clip(wider, 0.0, question.most)
