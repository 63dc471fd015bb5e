"""How far numbers of drawn rows are off, beside how far their draws scatter.

Notation
    S       number of probes
    score   place of a value among the draws of it, as a standard normal number: 0 is their median
    shift   score that the truths of left-out rows have on average
    width   root mean square of their scores around the shift
    place   share of cells that lie below a quantile, or below the limit of a count

Draws of a row have calibrated cells and a calibrated mean, but how the tails of rows differ from each other is in
neither. So the metrics of left-out rows are drawn as those of new ones are, their truths are placed among the draws,
and what is said of a new row is moved by shift and width.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from forgetcast.completion.types import Floats, Indices

USUAL_WIDTH = 1.6  # where no row can be left out: more than is found of rows and domains of measured matrices
USUAL_LARGEST_WIDTH = 1.4  # of the largest cell of a set, the same
PSEUDO_ROWS = 3.0  # rows' worth of the usual width in what few left-out rows say
MOST_SCORE = 5.0  # lest one wild row speak for all


@dataclass(frozen=True)
class Scored:
    """Scores of one left-out row's truths; `group` says with which rows it was left out."""

    group: int
    scores: tuple[float, ...]


@dataclass(frozen=True, eq=False)
class DrawnErrors:
    """Shift and width by number of probes, between which ln S is interpolated.

    probe_counts : (P,) ints, ascending
    places : (Q,) floats, ascending; the last axis of tail_*, between which the logit is interpolated
    tail_shift, tail_width : (P, Q) floats, of quantiles and counts of a row
    part_shift, part_width : (P,) floats, of those of a domain
    largest_shift, largest_width : (P,) floats, of the largest cell of a set
    """

    probe_counts: Indices
    places: Floats
    tail_shift: Floats
    tail_width: Floats
    part_shift: Floats
    part_width: Floats
    largest_shift: Floats
    largest_width: Floats

    def of_tail(self, n_probes: int, place: float) -> tuple[float, float]:
        """Shift and width of a quantile or a count of a row."""
        logit = _logit(min(max(place, 1e-6), 1.0 - 1e-6))
        at = [
            float(np.interp(logit, _logits(self.places), row))
            for table in (self.tail_shift, self.tail_width)
            for row in [np.array([self._at(n_probes, column) for column in table.T])]
        ]
        return at[0], at[1]

    def of_part(self, n_probes: int) -> tuple[float, float]:
        """Of a quantile or a count of a domain."""
        return self._at(n_probes, self.part_shift), self._at(n_probes, self.part_width)

    def of_largest(self, n_probes: int) -> tuple[float, float]:
        """Of the largest cell of a set."""
        return self._at(n_probes, self.largest_shift), self._at(n_probes, self.largest_width)

    def _at(self, n_probes: int, table: Floats) -> float:
        return float(np.interp(np.log1p(n_probes), np.log1p(self.probe_counts), table))


def usual_drawn_errors() -> DrawnErrors:
    """What is taken where nothing was learned: wide, and not moved."""
    one = np.ones(1)
    return DrawnErrors(
        probe_counts=np.zeros(1, dtype=np.intp),
        places=np.full(1, 0.5),
        tail_shift=np.zeros((1, 1)),
        tail_width=np.full((1, 1), USUAL_WIDTH),
        part_shift=0.0 * one,
        part_width=USUAL_WIDTH * one,
        largest_shift=0.0 * one,
        largest_width=USUAL_LARGEST_WIDTH * one,
    )


def drawn_errors(
    probe_counts: Sequence[int],
    places: Sequence[float],
    tail: Callable[[int, float], Sequence[Scored]],
    part: Callable[[int], Sequence[Scored]],
    largest: Callable[[int], Sequence[Scored]],
) -> DrawnErrors:
    """What the scores of left-out rows say, by number of probes and place.

    Parameters
    ----------
    tail, part, largest : the rows' scores of quantiles and counts of the row, of its domains, and of largest cells
    """
    tails = np.array([[_learned(tail(count, place), USUAL_WIDTH) for place in places] for count in probe_counts])
    parts = np.array([_learned(part(count), USUAL_WIDTH) for count in probe_counts])
    largests = np.array([_learned(largest(count), USUAL_LARGEST_WIDTH) for count in probe_counts])
    return DrawnErrors(
        probe_counts=np.array(probe_counts, dtype=np.intp),
        places=np.array(places, dtype=np.float64),
        tail_shift=tails[..., 0],
        tail_width=tails[..., 1],
        part_shift=parts[:, 0],
        part_width=parts[:, 1],
        largest_shift=largests[:, 0],
        largest_width=largests[:, 1],
    )


def _learned(rows: Sequence[Scored], usual: float) -> tuple[float, float]:
    """Shift and width that a row to come has: one more than those seen, of a group more than those seen.

    Never narrower than the draws themselves are.
    """
    rows = [row for row in rows if row.scores]
    if not rows:
        return 0.0, usual
    scores = [np.clip(row.scores, -MOST_SCORE, MOST_SCORE) for row in rows]
    shift = float(sum(of.mean() for of in scores)) / (PSEUDO_ROWS + len(rows))
    squares = sum(float(np.mean((of - shift) ** 2)) for of in scores)
    n_groups = len({row.group for row in rows})
    square = (PSEUDO_ROWS * usual**2 + squares) / (PSEUDO_ROWS + len(rows)) * (1.0 + 1.0 / n_groups)
    return shift, max(1.0, square**0.5)


def _logit(place: float) -> float:
    return float(np.log(place / (1.0 - place)))


def _logits(places: Floats) -> Floats:
    return np.asarray(np.log(places / (1.0 - places)))
