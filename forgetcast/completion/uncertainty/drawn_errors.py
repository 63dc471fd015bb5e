"""How far numbers of drawn rows are off, beside how far their draws scatter.

Notation
    S       number of probes
    score   place of a value among the draws of it, as a standard normal number: 0 is their median
    shift   score that the truths of left-out rows have on average
    width   root mean square of their scores around the shift
    lower, upper   how much further out than that their score of TAIL lies, on either side
    place   share of cells that lie below a quantile, or below the limit of a count

Draws of a row have calibrated cells and a calibrated mean, but how the tails of rows differ from each other is in
neither, nor that now and then a domain is forgotten as in no known row: the one that the task is about. So numbers of
left-out rows are drawn as those of new ones are, their truths are placed among the draws, and what is said of a new row
is moved accordingly. Bundled matrix, families left out, S = 30: truths of domains have width 1.0, and 2.2 times as much
in the upper half percent; the 95% quantile of a row 1.3, and no more in the tails.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from enum import StrEnum
from statistics import NormalDist
from typing import Any, NamedTuple

import numpy as np

from forgetcast.completion.types import Floats, Indices

PSEUDO_ROWS = 3.0  # rows' worth of the usual figures in what few left-out rows say
MOST_SCORE = 8.0  # lest one wild row speak for all
TAIL = 0.005  # on one side: what a policy of level 0.95 spends at each of five looks
TAIL_SCORE = NormalDist().inv_cdf(1.0 - TAIL)


class Kind(StrEnum):
    """What is learned apart; quantiles and counts of a whole row by place as well."""

    TAIL = "tail"
    PART = "part"  # quantiles and counts of a domain
    LARGEST = "largest"  # cell of a set
    ROW_MEAN = "row_mean"
    PART_MEAN = "part_mean"


class Move(NamedTuple):
    """What draws are moved by; see the notation."""

    shift: float
    width: float
    lower: float
    upper: float


# Where no row can be left out: more than is found of rows and domains of measured matrices.
USUAL = {
    Kind.TAIL: Move(0.0, 1.6, 1.0, 1.0),
    Kind.PART: Move(0.0, 1.6, 1.0, 1.6),
    Kind.LARGEST: Move(0.0, 1.4, 1.0, 1.6),
    Kind.ROW_MEAN: Move(0.0, 1.2, 1.0, 1.0),
    Kind.PART_MEAN: Move(0.0, 1.2, 1.0, 1.8),
}
CENTRED = (Kind.ROW_MEAN, Kind.PART_MEAN)  # what they seem to be off on average is chance: forecasts correct it


@dataclass(frozen=True)
class Scored:
    """Scores of one left-out row's truths; `group` says with which rows it was left out."""

    group: int
    scores: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class DrawnErrors:
    """Moves by number of probes, between which ln S is interpolated; the last axis is that of `Move`.

    probe_counts : (P,) ints, ascending
    places : (Q,) floats, ascending, between which the logit is interpolated
    tail : (P, Q, 4) floats
    part, largest, row_mean, part_mean : (P, 4) floats
    """

    probe_counts: Indices
    places: Floats
    tail: Floats
    part: Floats
    largest: Floats
    row_mean: Floats
    part_mean: Floats

    def of(self, kind: Kind, n_probes: int, place: float = 0.5) -> Move:
        """How to move the draws of a number of this kind.

        Parameters
        ----------
        place : of a quantile or a count of a row
        """
        table: Floats = getattr(self, kind.value)
        if kind == Kind.TAIL:
            at = _logit(np.clip(place, 1e-6, 1.0 - 1e-6))
            table = np.array([[np.interp(at, _logit(self.places), of) for of in rows.T] for rows in table])
        where = np.log1p(n_probes)
        return Move(*(float(np.interp(where, np.log1p(self.probe_counts), of)) for of in table.T))

    def to_json(self) -> dict[str, list[Any]]:
        """Numbers only."""
        return {field.name: getattr(self, field.name).tolist() for field in fields(self)}

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> DrawnErrors:
        """What ``to_json`` gave."""
        return cls(**{field.name: np.array(said[field.name]) for field in fields(cls)})


def usual_drawn_errors() -> DrawnErrors:
    """What is taken where nothing was learned: wide, and not moved."""
    return drawn_errors((0,), (0.5,), {})


def drawn_errors(
    probe_counts: Sequence[int], places: Sequence[float], scores: Mapping[tuple[Kind, int, float], Sequence[Scored]]
) -> DrawnErrors:
    """What the scores of left-out rows say.

    Parameters
    ----------
    scores : by kind, number of probes and place; of all but tails under place 0
    """

    def table(kind: Kind, place: float = 0.0) -> Floats:
        found = [_learned(scores.get((kind, count, place), ()), kind) for count in probe_counts]
        return np.array(found)

    return DrawnErrors(
        probe_counts=np.array(probe_counts, dtype=np.intp),
        places=np.array(places, dtype=np.float64),
        tail=np.stack([table(Kind.TAIL, place) for place in places], axis=1),
        part=table(Kind.PART),
        largest=table(Kind.LARGEST),
        row_mean=table(Kind.ROW_MEAN),
        part_mean=table(Kind.PART_MEAN),
    )


def _learned(rows: Sequence[Scored], kind: Kind) -> Move:
    """The move of a row to come: one more than those seen, of a group more than those seen.

    Never narrower than the draws themselves are.
    """
    rows, usual = [row for row in rows if row.scores], USUAL[kind]
    if not rows:
        return usual
    scores = [np.clip(row.scores, -MOST_SCORE, MOST_SCORE) for row in rows]
    n, n_groups = len(rows), len({row.group for row in rows})
    shift = 0.0 if kind in CENTRED else float(sum(of.mean() for of in scores)) / (PSEUDO_ROWS + n)
    squares = sum(float(np.mean((of - shift) ** 2)) for of in scores)
    square = (PSEUDO_ROWS * usual.width**2 + squares) / (PSEUDO_ROWS + n) * (1.0 + 1.0 / n_groups)
    width = max(1.0, square**0.5)
    low, high = _extremes(scores)
    found = ((shift - low) / (width * TAIL_SCORE), (high - shift) / (width * TAIL_SCORE))
    lower, upper = (
        (PSEUDO_ROWS * of_usual + n * max(1.0, ratio)) / (PSEUDO_ROWS + n)
        for of_usual, ratio in zip((usual.lower, usual.upper), found, strict=True)
    )
    return Move(shift, width, lower, upper)


def _extremes(scores: Sequence[Floats]) -> tuple[float, float]:
    """Scores that TAIL lie beyond on either side, rows weighing the same; the outermost ones of too few."""
    values = np.concatenate(scores)
    weights = np.concatenate([np.full(of.size, 1.0 / (of.size * len(scores))) for of in scores])
    order = np.argsort(values, kind="stable")
    places = np.cumsum(weights[order]) - weights[order] / 2
    low, high = np.interp([TAIL, 1.0 - TAIL], places, values[order])
    return float(low), float(high)


def _logit(place: Floats) -> Floats:
    return np.asarray(np.log(place / (1.0 - place)))
