"""What a back-test of exact matches found, as data. A figure that cannot be formed is None."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReliabilityBin:
    """Cells whose probability lies between low and high.

    told : their mean probability      came_true : the share of them that is lost
    """

    low: float
    high: float
    n_cells: int
    told: float
    came_true: float


@dataclass(frozen=True)
class ExactMatchFigures:
    """One method over all tasks; scored cells are those that could not be probed.

    f1, f1_kept : of what is more probably lost, and kept, than not, all cells together      f1_tasks : mean over tasks
    auc : mean over the tasks that lose some and keep some      log_score : nats per cell, mean over tasks
    brier : mean squared error of the probabilities, mean over tasks
    top_precision : share of the 5% most probably lost that are lost, mean over tasks
    calibration_error : mean distance of told from came_true over the bins of reliability, weighed by cells
    seconds : processor seconds of one forecast, a new fit included where the method needs one; mean
    """

    f1: float | None
    f1_kept: float | None
    f1_tasks: float | None
    auc: float | None
    log_score: float
    brier: float
    top_precision: float
    calibration_error: float
    reliability: tuple[ReliabilityBin, ...]
    seconds: float
    draws: int


@dataclass(frozen=True)
class PairedDifference:
    """log score of the default less another method's on the same draws, nats per cell; below 0 the default is better.

    low, high : its 90% interval over what was left out together
    """

    difference: float
    low: float
    high: float


@dataclass(frozen=True)
class ExactMatchReport:
    """All methods. left_out : `families` or `tasks`; lost_share : of the known cells; paired : without the default"""

    default: str
    left_out: str
    n_tasks: int
    n_examples: int
    lost_share: float
    n_probes: int
    methods: dict[str, ExactMatchFigures]
    paired: dict[str, PairedDifference]
