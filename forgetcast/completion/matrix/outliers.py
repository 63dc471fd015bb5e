"""Cells and rows of the known ones that are beyond belief: what a diverged run or a slip of a unit leaves behind.

Notation
    Z     forgetting                                              (M, N)  nats per token
    m     median of every column, over the rows that measured it  (N,)
    r     shift of every row, median of Z - m over its cells      (M,)
    e     residual, Z - m - r                                     (M, N)
    s, t  robust sd of e in every row and in every column         (M,), (N,)
    g     robust sd of a cell of a typical row, median of s

A robust sd is 1.4826 times the median of |e|: the sd where e is Gaussian, and nothing that few cells could move.
A cell is measured against the widest of its row, its column and a typical row, so that the scatter of a domain or of a
task that forgets much is no outlier. The rows are read five times, a block of columns or one row at a time.

On the published OLMo-7B matrix the most surprising of 76,000 cells lies 36 robust sd out, on the bundled matrix 24; the
most surprising rows 11 and 13. Limits of 50, and 25 for rows, name none of them.

Source: Hampel et al., Robust Statistics (1986), for the median of deviations; Tukey (1977), for row and column medians.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from forgetcast.completion.blocks import column_slices
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.types import Floats, Indices, Mask

CELL_LIMIT = 50.0  # robust sd
ROW_LIMIT = 25.0  # robust sd of the shift, or times the scatter of a typical row
GAUSSIAN = 1.4826  # sd over median absolute deviation
RESOLUTION = 1e-3  # nats per token; scatter below it is taken for this much, and nothing near it is beyond belief
FEWEST = 3  # measured cells that make a column's or a row's median
UNKNOWN_COLUMN = 4.0  # times as wide where a column has fewer: columns differ, and what this one is like is not known
NAMED = 20  # cells, and rows, at most
SCREENED_COLUMNS = 4096  # that tell whether a closer look pays


class OutlierCell(NamedTuple):
    """value : nats per token; robust_sd : how many it lies above what its row and column suggest, negative below"""

    row: int
    column: int
    value: float
    robust_sd: float


class OutlierRow(NamedTuple):
    """shift : nats per token, median over the row's cells of what they lie above their columns

    robust_sd : how many the shift lies above a typical row's, negative below
    spread : how many times as wide as a typical row it scatters around its shift
    """

    row: int
    shift: float
    robust_sd: float
    spread: float


@dataclass(frozen=True)
class Outliers:
    """The most surprising first, at most ``NAMED`` of each kind; n_cells and n_rows count all of them."""

    cells: tuple[OutlierCell, ...]
    rows: tuple[OutlierRow, ...]
    n_cells: int
    n_rows: int


def find_outliers(matrix: ForgettingMatrix, *, of_row: int | None = None) -> Outliers:
    """Cells and rows beyond belief, each against what the other known rows say; of one row only, if that is asked."""
    usual = _usual(matrix)
    rows = [row for row in _outlying_rows(usual) if of_row in (None, row.row)]
    cells, n_cells = _outlying_cells(matrix, usual, of_row)
    return Outliers(tuple(cells), tuple(rows[:NAMED]), n_cells, len(rows))


def without_outliers(matrix: ForgettingMatrix) -> ForgettingMatrix:
    """What a fit reads: rows beyond belief are left out, and of the others such cells count as missing.

    So one cell of 50 nats among 15,000 moves no other row; left in, it raised their RMSE from 0.21 to 36.7 at 10,000.
    """
    if matrix.n_tasks < FEWEST or not _suspicious(matrix):
        return matrix
    usual = _usual(matrix)
    observed = np.array(matrix.observed)
    for row, (columns, _values, _deviation) in enumerate(_beyond_limit(matrix, usual)):
        observed[row, columns] = False
    observed[[row.row for row in _outlying_rows(usual)]] = False
    kept = np.flatnonzero(observed.any(axis=1))
    if kept.size == 0 or observed.sum() == np.sum(matrix.observed):
        return matrix
    return replace(matrix.with_tasks(kept), observed=observed[kept])


def outlier_warnings(matrix: ForgettingMatrix, found: Outliers) -> list[tuple[str, str]]:
    """A task and a sentence for every outlier that is named, rows first."""
    rows = [
        (
            matrix.task_ids[row.row],
            f"the row lies {row.shift:+.3g} nats per token above its columns, {abs(row.robust_sd):.0f} robust sd from "
            f"a typical row, and scatters {row.spread:.1f} times as wide",
        )
        for row in found.rows
    ]
    cells = [
        (
            matrix.task_ids[cell.row],
            f"example {matrix.example_ids[cell.column]!r} has {cell.value:+.4g} nats per token, "
            f"{abs(cell.robust_sd):.0f} robust sd from what its row and its column suggest",
        )
        for cell in found.cells
    ]
    return rows + cells


@dataclass(frozen=True, eq=False)
class _Usual:
    """What cells and rows are measured against.

    centre, across (N,): m and t; thin (N,) bools, columns with too few cells, whose centre is that of the others
    shift, along (M,): r and s; n_cells (M,) ints, measured cells of every row
    typical : g
    """

    centre: Floats
    across: Floats
    thin: Mask
    shift: Floats
    along: Floats
    n_cells: Indices
    typical: float

    @property
    def own(self) -> Floats:
        """r, and 0 for a row of one or two cells: its shift is the cells themselves, and would take them away. (M,)"""
        return np.where(self.n_cells >= FEWEST, self.shift, 0.0)


def _suspicious(matrix: ForgettingMatrix) -> bool:
    """Whether a closer look pays: a row lies far from the others or a cell far from its row, by a sample of columns."""
    sample = slice(None, None, max(1, matrix.n_examples // SCREENED_COLUMNS))
    centre, scale, furthest = (np.empty(matrix.n_tasks) for _ in range(3))
    for row, (cells, seen) in enumerate(_rows(matrix)):
        some = np.asarray(matrix.forgetting[row][sample], dtype=np.float64)[seen[sample]]
        some = some if some.size >= FEWEST else cells
        centre[row] = np.median(some)
        scale[row] = GAUSSIAN * np.median(np.abs(some - centre[row]))
        furthest[row] = max(cells.max() - centre[row], centre[row] - cells.min())
    typical = max(float(np.median(scale)), RESOLUTION)
    apart = np.abs(centre - np.median(centre))
    far = np.maximum(furthest / np.maximum(scale, typical), scale / typical) > CELL_LIMIT / 2
    return bool((far | (apart > ROW_LIMIT / 2 * max(GAUSSIAN * float(np.median(apart)), typical))).any())


def _usual(matrix: ForgettingMatrix) -> _Usual:
    centre, thin = _columns(matrix)
    shift = np.array([np.median(cells - centre[seen]) for cells, seen in _rows(matrix)])
    along = np.array(
        [
            GAUSSIAN * np.median(np.abs(cells - centre[seen] - of))
            for of, (cells, seen) in zip(shift, _rows(matrix), strict=True)
        ]
    )
    n_cells = np.array([np.count_nonzero(seen) for seen in matrix.observed])
    known = along[n_cells >= FEWEST]
    typical = max(float(np.median(known)) if known.size else 0.0, RESOLUTION)
    usual = _Usual(centre, np.zeros(centre.size), thin, shift, along, n_cells, typical)
    return replace(usual, across=np.where(thin, 0.0, _column_spread(matrix, centre, usual.own)))


def _columns(matrix: ForgettingMatrix) -> tuple[Floats, Mask]:
    """m, where a column with too few cells has the median of the others, and which those are. (N,) both"""
    centre, count = np.empty(matrix.n_examples), np.empty(matrix.n_examples, dtype=np.intp)
    for block, cells, seen in _blocks(matrix):
        centre[block], count[block] = _medians(cells, seen), seen.sum(axis=0)
    thin = count < FEWEST
    if thin.any():
        known = centre[~thin] if not thin.all() else centre[count > 0]
        centre[thin] = np.median(known)
    return centre, thin


def _column_spread(matrix: ForgettingMatrix, centre: Floats, shift: Floats) -> Floats:
    """t. (N,)"""
    spread = np.empty(matrix.n_examples)
    for block, cells, seen in _blocks(matrix):
        spread[block] = GAUSSIAN * _medians(np.abs(cells - centre[block] - shift[:, None]), seen)
    return np.nan_to_num(spread, nan=0.0)


def _outlying_cells(matrix: ForgettingMatrix, usual: _Usual, of_row: int | None) -> tuple[list[OutlierCell], int]:
    """The most surprising cells, and how many are beyond the limit."""
    found: list[OutlierCell] = []
    n_found = 0
    for row, (columns, values, deviation) in enumerate(_beyond_limit(matrix, usual)):
        if of_row in (None, row):
            n_found += columns.size
            named = zip(columns.tolist(), values.tolist(), deviation.tolist(), strict=True)
            found = heapq.nlargest(
                NAMED, [*found, *(OutlierCell(row, *cell) for cell in named)], key=lambda cell: abs(cell.robust_sd)
            )
    return found, n_found


def _beyond_limit(matrix: ForgettingMatrix, usual: _Usual) -> Iterator[tuple[Indices, Floats, Floats]]:
    """Of every row its cells beyond the limit: their columns, values and deviations in robust sd."""
    along = np.where(usual.n_cells >= FEWEST, usual.along, 0.0)
    for row, (cells, seen) in enumerate(_rows(matrix)):
        scale = np.maximum(usual.across[seen], max(along[row], usual.typical))
        scale *= np.where(usual.thin[seen], UNKNOWN_COLUMN, 1.0)
        deviation = (cells - usual.centre[seen] - usual.own[row]) / scale
        places = np.flatnonzero(np.abs(deviation) > CELL_LIMIT)
        yield np.flatnonzero(seen)[places], cells[places], deviation[places]


def _outlying_rows(usual: _Usual) -> list[OutlierRow]:
    """Rows whose shift or scatter is beyond the limit, the most surprising first; none among fewer than three."""
    shift, spread = usual.shift, usual.along / usual.typical
    if shift.size < FEWEST:
        return []
    middle = float(np.median(shift))
    scale = max(GAUSSIAN * float(np.median(np.abs(shift - middle))), usual.typical)
    # The shift of a row with few cells is as uncertain as they are.
    deviation = (shift - middle) / np.sqrt(scale**2 + usual.typical**2 / usual.n_cells)
    surprise = np.maximum(np.abs(deviation), np.where(usual.n_cells >= FEWEST, spread, 0.0))
    order = np.argsort(-surprise, kind="stable")
    return [
        OutlierRow(row, float(shift[row]), float(deviation[row]), float(spread[row]))
        for row in order.tolist()
        if surprise[row] > ROW_LIMIT
    ]


def _rows(matrix: ForgettingMatrix) -> Iterator[tuple[Floats, Mask]]:
    """The measured cells of every row, in order of columns, and which they are."""
    for row, seen in enumerate(matrix.observed):
        cells = matrix.forgetting[row]
        yield np.asarray(cells if seen.all() else cells[seen], dtype=np.float64), seen


def _blocks(matrix: ForgettingMatrix) -> Iterator[tuple[slice, Floats, Mask]]:
    """Blocks of columns as copies, and which of their cells were measured."""
    for block in column_slices(matrix.n_tasks, matrix.n_examples):
        yield block, np.array(matrix.forgetting[:, block], dtype=np.float64), matrix.observed[:, block]


def _medians(cells: Floats, seen: Mask) -> Floats:
    """Median of the measured cells of every column; NaN where there is none. (n_columns,)"""
    if seen.all():
        return np.asarray(np.median(cells, axis=0))
    count = seen.sum(axis=0)
    ordered = np.sort(np.where(seen, cells, np.inf), axis=0)
    upper = np.take_along_axis(ordered, np.minimum(count // 2, cells.shape[0] - 1)[None], axis=0)[0]
    lower = np.take_along_axis(ordered, np.maximum(count - 1, 0)[None] // 2, axis=0)[0]
    return np.where(count > 0, lower / 2 + upper / 2, np.nan)
