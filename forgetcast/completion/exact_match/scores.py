"""How good probabilities of being lost are.

Notation
    probability, lost  the scored cells of one row, or of many   (n,)
"""

from __future__ import annotations

import numpy as np

from forgetcast.completion.exact_match.backtest_report import ReliabilityBin
from forgetcast.completion.metrics import TOP_SHARE, ranks
from forgetcast.completion.types import Floats

BINS = 10
LEAST_PROBABILITY = 1e-6  # of what happened, in the log score: a certainty that fails costs 14 nats and not all


def f1(probability: Floats, lost: Floats) -> float:
    """F1 of what is more probably lost than not; NaN where nothing is lost and nothing is called so."""
    called, is_lost = probability > 0.5, lost > 0.5
    either = int(called.sum()) + int(is_lost.sum())
    return 2.0 * int((called & is_lost).sum()) / either if either else float("nan")


def auc(probability: Floats, lost: Floats) -> float:
    """Chance that a lost example has the higher probability than a kept one, ties half; NaN where all are alike."""
    n_lost = int(lost.sum())
    n_kept = lost.size - n_lost
    if n_lost == 0 or n_kept == 0:
        return float("nan")
    above = ranks(probability)[lost > 0.5].sum() - n_lost * (n_lost - 1) / 2
    return float(above / (n_lost * n_kept))


def log_score(probability: Floats, lost: Floats) -> float:
    """Nats that a cell costs, lower is better: -ln of the probability of what happened; NaN without cells."""
    if lost.size == 0:
        return float("nan")
    happened = np.where(lost > 0.5, probability, 1.0 - probability)
    return float(-np.mean(np.log(np.maximum(happened, LEAST_PROBABILITY))))


def top_precision(probability: Floats, lost: Floats) -> float:
    """Share of the 5% most probably lost, at least one, that are lost; NaN without cells."""
    if lost.size == 0:
        return float("nan")
    k = max(1, round(TOP_SHARE * lost.size))
    return float(lost[np.argsort(-probability, kind="stable")[:k]].mean())


def reliability(probability: Floats, lost: Floats) -> tuple[ReliabilityBin, ...]:
    """What was lost of the cells whose probability lies in each tenth; tenths without a cell are left out."""
    place = np.minimum((probability * BINS).astype(np.intp), BINS - 1)
    found = []
    for tenth in range(BINS):
        inside = place == tenth
        if inside.any():
            told, came_true = float(probability[inside].mean()), float(lost[inside].mean())
            found.append(ReliabilityBin(tenth / BINS, (tenth + 1) / BINS, int(inside.sum()), told, came_true))
    return tuple(found)


def calibration_error(bins: tuple[ReliabilityBin, ...]) -> float:
    """Mean distance of what was told from what came true, over cells."""
    n_cells = sum(found.n_cells for found in bins)
    return sum(found.n_cells * abs(found.told - found.came_true) for found in bins) / max(1, n_cells)
