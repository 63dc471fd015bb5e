"""Whole rows drawn from the joint predictive of a forecast, and what questions make of each of them.

Notation
    C     cells that were not measured and that some question other than for a mean reads
    z     factors of a drawn row, see `cell_errors`                          (R,)
    tau   its scale, drawn from what the probes leave likely
    G     Gaussian part of a mean: the sum of s g over its cells, over its sd; standard normal

The mean of a row or a domain errs by more than its cells' factors and noise say, for cells share what no factor has;
how much more was learned from left-out rows. So all cells of a question are moved together until their mean has the
calibrated error of such a mean, at the rank that G has in this draw. Before that each domain's cells are moved so, for
a quantile or a count of a row errs with its domains. The largest cell of a protected set is taken without any move.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.draws import Draws
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices
from forgetcast.completion.uncertainty.averages import Groups, average_errors
from forgetcast.completion.uncertainty.error_shape import PROBABILITIES
from forgetcast.gate.cell_errors import CellErrors, DrawnCells, normal_below
from forgetcast.gate.metrics import Metric, Question
from forgetcast.gate.other_run import OtherRows, OtherRun

ROUND = 1_000  # rows that are drawn at a time; the rows of a round do not depend on how many rounds follow
BLOCK = 1 << 19  # cells in memory at a time: larger blocks leave the processor's cache


class RowDraws:
    """Rows drawn from a forecast; every question is answered for each of them.

    Parameters
    ----------
    row : the forecast
    questions : what is asked of every drawn row
    domains : (positions,) of every domain, whose cells share errors that no factor has; none where they are not known
    other_run : what is drawn is the row of another run of its recipe; None for the row itself
    seed : whole number, not negative; the same one gives the same rows, the first 1,000 of 2,000 being the 1,000
    """

    def __init__(
        self,
        row: RowForecast,
        questions: Sequence[Question],
        seed: int,
        domains: Sequence[Indices] = (),
        other_run: OtherRun | None = None,
    ) -> None:
        wanted = np.zeros(row.mean.size, dtype=np.bool_)
        for question in questions:
            wanted[question.positions] |= question.metric != Metric.MEAN
        wanted &= ~row.measured
        parts = [part[wanted[part]] for part in domains]
        for part in parts:
            wanted[part] = False
        cells = np.concatenate([np.zeros(0, dtype=np.intp), *parts, np.flatnonzero(wanted)])
        self._row, self._n_cells = row, int(cells.size)
        self._other_run = other_run
        if other_run is not None:
            self._n_cells = row.mean.size  # measured cells are drawn as well
        self._shared = Draws(2 * seed)
        self._cell_errors = CellErrors(row, cells, Draws(2 * seed + 1))
        place = np.zeros(row.mean.size, dtype=np.intp)
        place[cells] = np.arange(cells.size)
        self._asked = [_Asked.of(row, cells, place, question) for question in questions]
        groups = [Question(Metric.MEAN, part) for part in parts if part.size]
        self._domains = [_Asked.of(row, cells, place, group) for group in groups]

    def more(self, wanted: Sequence[bool]) -> Floats:
        """What the questions that are still wanted make of the next round of drawn rows. (questions, ROUND)

        NaN for the others: a question that is settled costs nothing more.
        """
        shared = self._draw_shared()
        other = None if self._other_run is None else self._other_run.draw(ROUND)
        answers = np.full((len(self._asked), ROUND), np.nan)
        asked = [(place, asked) for place, asked in enumerate(self._asked) if wanted[place]]
        of_cells = [(place, one) for place, one in asked if one.question.metric != Metric.MEAN]
        for place, one in asked:
            if one.question.metric == Metric.MEAN:
                answers[place] = one.mean_alone(shared, shared.spare[:, place])
                if other is not None:
                    answers[place] += other.mean_moves(one.question.positions)
        if not of_cells:
            return answers
        size = max(1, BLOCK // max(1, self._n_cells))
        for first in range(0, ROUND, size):
            rows = slice(first, min(first + size, ROUND))
            some = shared.of(rows)
            drawn = self._cell_errors.draw(some.z, some.tau)
            apart = drawn.errors.copy() if any(one.question.metric == Metric.PROTECTED for _, one in of_cells) else None
            for domain in self._domains:
                domain.move(some, drawn, self._cell_errors.sd)
            for place, one in of_cells:
                errors = apart if apart is not None and one.question.metric == Metric.PROTECTED else drawn.errors
                others = None if other is None else other.of(rows)
                answers[place, rows] = one.of_cells(some, drawn.normal, errors, self._cell_errors.sd, others)
        return answers

    def _draw_shared(self) -> _Shared:
        scale, n_factors = self._row.scale, self._row.posterior.root.shape[0]
        z = self._shared.normals(ROUND * n_factors).reshape(ROUND, n_factors)
        weights = np.cumsum(np.concatenate([scale.known, scale.unlike]))
        place = np.searchsorted(weights / weights[-1], self._shared.uniforms(ROUND), side="right")
        place = np.minimum(place, weights.size - 1)
        spare = self._shared.normals(ROUND * len(self._asked)).reshape(ROUND, -1)
        n_scales = scale.values.size
        return _Shared(z, scale.values[place % n_scales], place >= n_scales, scale.usual, spare)


@dataclass(frozen=True, eq=False)
class _Shared:
    """What the cells of each of n rows share: z (n, R), tau (n,), and whether the row is unlike the known ones (n,).

    usual : scale of most rows; spare : (n, questions) standard normal
    """

    z: Floats
    tau: Floats
    unlike: NDArray[np.bool_]
    usual: float
    spare: Floats

    def of(self, rows: slice) -> _Shared:
        return _Shared(self.z[rows], self.tau[rows], self.unlike[rows], self.usual, self.spare[rows])


@dataclass(frozen=True, eq=False)
class _Asked:
    """A question, and how the mean of its cells errs.

    inside : places of its unmeasured cells among the C, or all of them; n_unmeasured of them
    forecast : (n_unmeasured,) float32, their means; measured : (m,) floats, its other cells
    unmeasured_at, measured_at : positions of both
    filled_mean : of all its cells, each as measured or forecast
    sd, shared_ratio : of that mean's error, see `average_errors`; shape : its calibrated quantiles
    loadings, noise_sd : of the sum of its unmeasured cells, by z and beside it
    """

    question: Question
    inside: Indices | slice
    n_unmeasured: int
    forecast: NDArray[np.float32]
    measured: Floats
    unmeasured_at: Indices
    measured_at: Indices
    filled_mean: float
    sd: float
    shared_ratio: float
    shape: Floats
    loadings: Floats
    noise_sd: float

    @classmethod
    def of(cls, row: RowForecast, cells: Indices, place: Indices, question: Question) -> _Asked:
        """`place` says where a cell stands among the C."""
        posterior, size = row.posterior, row.mean.size
        known = row.measured[question.positions]
        unmeasured = question.positions[~known]
        at = place[unmeasured]
        inside: Indices | slice = at
        if unmeasured.size == cells.size:
            unmeasured, inside = cells, slice(None)
        elif unmeasured.size and np.array_equal(cells[at[0] : at[0] + unmeasured.size], unmeasured):
            inside = slice(int(at[0]), int(at[0]) + int(unmeasured.size))
        whole = question.size == size
        errors = average_errors(
            posterior, Groups.whole(size) if whole else Groups.of([question.positions]), row.level_variance
        )
        return cls(
            question=question,
            inside=inside,
            n_unmeasured=int(unmeasured.size),
            forecast=row.mean[unmeasured].astype(np.float32),
            measured=row.mean[question.positions[known]],
            unmeasured_at=unmeasured,
            measured_at=question.positions[known],
            filled_mean=float(row.mean[question.positions].mean()),
            sd=float(errors.sd[0]),
            shared_ratio=float(errors.shared_ratio[0]),
            shape=row.errors.row_shape if whole else row.errors.domain_shape,
            loadings=posterior.root.T @ posterior.loadings[:, unmeasured].sum(axis=1, dtype=np.float64),
            noise_sd=sqrt(float(posterior.noise[unmeasured].sum(dtype=np.float64))),
        )

    def mean_alone(self, shared: _Shared, noise: Floats) -> Floats:
        """A mean needs no cells: the sum of their noise is one normal number. (n,)"""
        if self.n_unmeasured == 0:
            return np.full(shared.tau.size, self.filled_mean)
        gaussian = shared.z @ self.loadings + self.noise_sd * noise
        return np.asarray(self.filled_mean + self._mean_error(gaussian, shared))

    def move(self, shared: _Shared, drawn: DrawnCells, sd: NDArray[np.float32]) -> None:
        """Move the errors of a domain's cells until their mean has its calibrated error; none of them is measured."""
        gaussian = np.asarray(drawn.normal[:, self.inside] @ sd[self.inside], np.float64)
        errors = drawn.errors[:, self.inside]
        wanted = self._mean_error(gaussian, shared) - errors.mean(axis=1, dtype=np.float64)
        drawn.errors[:, self.inside] = errors + wanted.astype(np.float32)[:, None]

    def of_cells(
        self,
        shared: _Shared,
        normals: NDArray[np.float32],
        errors: NDArray[np.float32],
        sd: NDArray[np.float32],
        other: OtherRows | None = None,
    ) -> Floats:
        """A metric of the cells of every drawn row, g and their errors being (n, C). (n,)"""
        question = self.question
        values = self.forecast + errors[:, self.inside]
        if question.metric != Metric.PROTECTED and self.n_unmeasured:
            values = values + self._common_move(values, normals, shared, sd).astype(np.float32)[:, None]
        measured = np.broadcast_to(self.measured.astype(np.float32), (values.shape[0], self.measured.size))
        if other is not None:
            values = values + other.moves(self.unmeasured_at)
            measured = other.measured_cells(self.measured_at)
        match question.metric:
            case Metric.PROTECTED:
                parts = [np.asarray(values.max(axis=1), np.float64)] if self.n_unmeasured else []
                if self.measured.size:
                    largest = np.full(shared.tau.size, self.measured.max())
                    parts.append(largest if other is None else np.asarray(measured.max(axis=1), np.float64))
                return np.asarray(np.max(parts, axis=0))
            case Metric.QUANTILE:
                together = np.concatenate([values, measured], axis=1) if self.measured.size else values
                return np.asarray(np.partition(together, question.rank, axis=1)[:, question.rank], dtype=np.float64)
            case _:
                limit = np.float32(question.parameter)
                above = np.count_nonzero(values > limit, axis=1).astype(np.float64)
                above += np.count_nonzero(measured > limit, axis=1) if other is not None else self._n_measured_above
                return np.asarray(question.of_count(above))

    def _common_move(
        self, values: NDArray[np.float32], normals: NDArray[np.float32], shared: _Shared, sd: NDArray[np.float32]
    ) -> Floats:
        """What gives the mean of the question's cells its calibrated error. (n,)"""
        gaussian = np.asarray(normals[:, self.inside] @ sd[self.inside], np.float64)
        wanted = self.filled_mean + self._mean_error(gaussian, shared)
        drawn_sum = values.sum(axis=1, dtype=np.float64)
        of_measured = float(self.measured.sum())
        return np.asarray((wanted * self.question.size - of_measured - drawn_sum) / self.n_unmeasured)

    @property
    def _n_measured_above(self) -> int:
        return int(np.count_nonzero(self.measured > self.question.parameter))

    def _mean_error(self, gaussian: Floats, shared: _Shared) -> Floats:
        """Calibrated error of the mean, by the Gaussian sum over its cells, nats per token. (n,)"""
        usual = np.minimum(shared.tau, shared.usual)
        scale = np.sqrt(usual**2 + self.shared_ratio**2 * (shared.tau**2 - usual**2))
        scale = np.where(shared.unlike, self.shared_ratio * shared.tau, scale)
        rank = normal_below(gaussian / (self.sd * self.question.size))
        return np.asarray(self.sd * scale * np.interp(rank, PROBABILITIES, self.shape))
