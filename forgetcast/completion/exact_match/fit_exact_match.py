"""Fit a method to the exact matches that known rows lost; lam and the calibration are chosen by leaving rows out.

Notation
    M, N  known rows, upstream examples that the base model reproduces      S  probes of the new row
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.arguments import positions_of, whole_number
from forgetcast.completion.exact_match.calibration import (
    PROBE_COUNTS,
    LeftOutLogits,
    ProbabilityCalibration,
    calibrate,
    usual_calibration,
)
from forgetcast.completion.exact_match.fit_logistic import fit_model, models_at
from forgetcast.completion.exact_match.logistic_model import LogisticModel, condition, logit_blocks, logits
from forgetcast.completion.exact_match.lost_cells import check_lost
from forgetcast.completion.exact_match.lost_forecast import LostForecast
from forgetcast.completion.exact_match.methods import LOGISTIC, ExactMatchMethod, exact_match_method
from forgetcast.completion.exact_match.newton import sigmoid
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.selection.probes import Design, ProbeSet, design_probes, random_probes
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.validation import splits
from forgetcast.errors import IncompatibleFit, OutOfRange

EXACT_MATCH_VERSION = 1  # raised by every change of the code that changes a probability
SHARES = (1.0, 0.7, 0.5, 0.35, 0.25)  # of lam; from the one that leaves no factor to one that keeps most
USUAL_SHARE = 0.5
INDIFFERENCE = 0.001  # nats per cell: among shares this close to the best the largest is taken
CHOSEN_AT = (10, 30)  # probes
ENOUGH = 1e-4  # of f, what a round takes off it where only choices rest on the fit
FEWEST_ROWS = 4  # known: with fewer, what is left says nothing about choices
MOST_COLUMNS = 512  # that choices look at
MOST_FITS = 8  # of one share: groups beyond are left out together
DRAWS = 2  # of the probes of a left-out row
DEFAULT_SIZE = 30


@dataclass(frozen=True, eq=False)
class FittedExactMatch:
    """A method fitted to the known rows; forecasts need nothing else. share : lam's, as chosen"""

    method: ExactMatchMethod
    model: LogisticModel
    calibration: ProbabilityCalibration
    share: float

    def forecast(self, probes: Indices, lost: Floats, *, random_probes: Indices | None = None) -> LostForecast:
        """How probable it is that a new task loses each example.

        Parameters
        ----------
        probes : (S,) ints, positions of the measured upstream examples, distinct; none is allowed
        lost : (S,) 1 where the fine-tuned model loses the example, 0 where it keeps it
        random_probes : which of the probes were drawn at random (positions); all of them by default

        Raises
        ------
        UnknownExample, RepeatedExample, WrongShape, WrongKind, OutOfRange
        """
        row = condition(self.model, probes, lost)
        n_probes = row.probes.size
        probability = np.empty(self.model.n_examples)
        for block, told in logit_blocks(self.model, row):
            probability[block] = sigmoid(self.calibration(told, n_probes))
        probability[row.probes] = row.lost
        measured = np.zeros(self.model.n_examples, dtype=np.bool_)
        measured[row.probes] = True
        at_random = np.ones(n_probes, dtype=np.bool_)
        if random_probes is not None:
            drawn = positions_of("The random probes", random_probes, self.model.n_examples)
            if not np.isin(drawn, row.probes).all():
                raise OutOfRange("The random probes must be some of the probes.")
            at_random = np.isin(row.probes, drawn)
        left_out = sigmoid(self.calibration(row.left_out, max(0, n_probes - 1)))
        return LostForecast(probability, measured, row.probes, row.lost, left_out, at_random)

    def probes(
        self, size: int = DEFAULT_SIZE, *, design: str = Design.RANDOM, seed: int = 0, eligible: Mask | None = None
    ) -> ProbeSet:
        """Which upstream examples to measure for a new task. Parameters, returns and raises are those of
        ``design_probes``; designed ones leave least variance in the logits.
        """
        return design_probes(self.model.in_logits(), size, design=design, seed=seed, eligible=eligible)

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """Everything as plain arrays, for an npz without pickle. ``from_arrays`` gives the same forecasts back."""
        return {
            "exact_match_version": np.array(EXACT_MATCH_VERSION),
            "method": np.array(self.method.name),
            "intercept": np.asarray(self.model.intercept),
            "loadings": np.asarray(self.model.loadings),
            "calibration_shift": self.calibration.shift,
            "calibration_slope": self.calibration.slope,
            "share": np.array(self.share),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> FittedExactMatch:
        """What ``to_arrays`` gave. Raises IncompatibleFit for another version, or for a fit of log-perplexities."""
        version = arrays.get("exact_match_version")
        if version is None or int(version) != EXACT_MATCH_VERSION:
            raise IncompatibleFit(f"No fit of exact matches of version {EXACT_MATCH_VERSION}.")
        return cls(
            method=exact_match_method(str(arrays["method"])),
            model=LogisticModel(arrays["intercept"], arrays["loadings"]),
            calibration=ProbabilityCalibration(arrays["calibration_shift"], arrays["calibration_slope"]),
            share=float(arrays["share"]),
        )


def fit_exact_match(matrix: ForgettingMatrix, method: str = LOGISTIC.name, seed: int = 0) -> FittedExactMatch:
    """Fit a method to the known rows of a matrix of kind `exact_match`; see ``exact_match_matrix``.

    Parameters
    ----------
    method : ``logistic``, ``additive`` or ``popularity``
    seed : non-negative; decides which columns the choices look at and which cells play the probes

    Raises
    ------
    UnknownMethod, WrongKind, OutOfRange
    """
    chosen = exact_match_method(method)
    check_lost(matrix)
    whole_number("The seed", seed)
    share, calibration = _choose(matrix, chosen, seed)
    model = fit_model(matrix, chosen.largest_rank, chosen.with_shift, share)
    return FittedExactMatch(chosen, model, calibration, share)


def _choose(matrix: ForgettingMatrix, method: ExactMatchMethod, seed: int) -> tuple[float, ProbabilityCalibration]:
    """lam's share with the best log score of left-out rows, and the calibration learned from them at that share."""
    if matrix.n_tasks < FEWEST_ROWS:
        return USUAL_SHARE, usual_calibration()
    if matrix.n_examples > MOST_COLUMNS:
        matrix = matrix.with_examples(np.sort(random_probes(matrix.n_examples, MOST_COLUMNS, seed)))
    shares = SHARES if method.largest_rank else (USUAL_SHARE,)
    left_out: dict[float, list[LeftOutLogits]] = {share: [] for share in shares}
    for group in left_out_groups(matrix, MOST_FITS):
        known = matrix.without_tasks(group)
        models = models_at(known, method.largest_rank, method.with_shift, shares, ENOUGH)
        for share, model in zip(shares, models, strict=True):
            left_out[share] += _left_out(matrix, model, group, seed)
    losses = {share: _log_loss([row for row in rows if row.n_probes in CHOSEN_AT]) for share, rows in left_out.items()}
    best = max(share for share in shares if losses[share] <= min(losses.values()) + INDIFFERENCE)
    return best, calibrate(left_out[best])


def _log_loss(rows: list[LeftOutLogits]) -> float:
    """Mean over rows of the nats that a cell costs, after calibration; 0 without rows."""
    if not rows:
        return 0.0
    calibration = calibrate(rows)
    told = [(calibration(row.logits, row.n_probes), row.lost) for row in rows]
    return float(np.mean([np.mean(np.logaddexp(0.0, x) - y * x) for x, y in told]))


def _left_out(matrix: ForgettingMatrix, model: LogisticModel, group: list[int], seed: int) -> Iterator[LeftOutLogits]:
    """Every row of a group, forecast without the group from random probes, at most half of its cells."""
    for row in group:
        observed, truth = np.flatnonzero(matrix.observed[row]), matrix.row(row)
        for draw in range(DRAWS):
            size = min(PROBE_COUNTS[-1], observed.size // 2)
            drawn_from = crc32(f"{seed + draw}:{matrix.task_ids[row]}".encode())
            drawn = random_probes(truth.size, size, drawn_from, eligible=matrix.observed[row])
            for count in (count for count in PROBE_COUNTS if count <= size):
                probes = drawn[:count]
                others = np.setdiff1d(observed, probes, assume_unique=True)
                told = logits(model, condition(model, probes, truth[probes]))
                yield LeftOutLogits(count, told[others], truth[others])


def left_out_groups(matrix: ForgettingMatrix, most: int) -> list[list[int]]:
    """Families, else tasks, several together where there are more than so many; none that would leave nothing."""
    groups = splits.left_out_together(matrix)
    n_rounds = min(len(groups), most)
    together = [[row for group in groups[first::n_rounds] for row in group] for first in range(n_rounds)]
    return [group for group in together if len(group) < matrix.n_tasks]
