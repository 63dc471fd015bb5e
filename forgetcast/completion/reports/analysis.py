"""What known rows look like: how low their rank is, how noisy they are, who forgets and what is forgotten.

Notation
    Z    forgetting, missing cells filled by the factor model            (M, N)  nats per token
    X    Z less the mean of its observed cells                           (M, N)
    u_k  left singular vectors of X, by falling singular value           (M,)
    b_k  loadings X'u_k / sqrt M: nats per unit of a task's score, whose root mean square is 1   (N,)

R2 is that of the observed cells, around their mean, and in sample: a fit to rows that it has seen. The columns are read
three times, block by block.

Source: Jin and Ren, arXiv:2406.14026, for R2 by rank and the additive and multiplicative fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

import numpy as np

from forgetcast.completion.blocks import column_blocks
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix, check_matrix
from forgetcast.completion.matrix.known_rows import KnownRows, known_rows
from forgetcast.completion.matrix.noise_floor import Repeat
from forgetcast.completion.matrix.outliers import find_outliers
from forgetcast.completion.models.factor_model import LARGEST_RANK
from forgetcast.completion.reports.analysis_report import (
    AnalysisReport,
    DomainLoading,
    ExampleEnds,
    ExampleMean,
    Factor,
    Outliers,
    OutlyingCell,
    OutlyingRow,
    ScoreEnds,
    TaskEnds,
    TaskMean,
    TaskScore,
)
from forgetcast.completion.reports.noise import noise_at_most, noise_by_repeats
from forgetcast.completion.types import Floats, Indices, Mask

RANKS = 10  # at most
FACTORS = 3  # that are described
DOMAINS = 20  # of a factor, at most
EXTREMES = 10  # tasks and examples of each end

R2 = float | None
T = TypeVar("T")


def analyse(matrix: ForgettingMatrix, repeats: Sequence[Repeat] | None = None) -> AnalysisReport:
    """Describe known rows.

    Parameters
    ----------
    repeats : tasks measured twice, those of the matrix by default; without any the noise is bounded, not estimated
    """
    check_matrix(matrix)
    repeats = matrix.measured_twice() if repeats is None else repeats
    rows = known_rows(matrix, min(LARGEST_RANK, matrix.n_tasks // 4))
    moments = _moments(rows)
    vectors = _directions(moments.products)
    variance = moments.total / moments.n_cells
    r2_by_rank, r2_additive, r2_multiplicative = _r2(rows, moments, vectors[:, :RANKS])
    highest = max((r2 for r2 in (*r2_by_rank, r2_additive, r2_multiplicative) if r2 is not None), default=None)
    return AnalysisReport(
        n_tasks=matrix.n_tasks,
        n_examples=matrix.n_examples,
        share_observed=moments.n_cells / (matrix.n_tasks * matrix.n_examples),
        mean=moments.mean,
        sd=variance**0.5,
        r2_by_rank=r2_by_rank,
        r2_additive=r2_additive,
        r2_multiplicative=r2_multiplicative,
        noise=noise_by_repeats(repeats, variance, list(matrix.domain_positions().values()))
        if repeats
        else noise_at_most(matrix, variance, highest),
        factors=_factors(matrix, rows, moments, vectors[:, :FACTORS]),
        tasks=TaskEnds(*_ends(moments.row_mean, partial(_task_mean, matrix, moments))),
        examples=ExampleEnds(*_ends(moments.column_mean, partial(_example_mean, matrix, moments))),
        outliers=_outliers(matrix),
    )


def _outliers(matrix: ForgettingMatrix) -> Outliers:
    """How many cells and rows are beyond belief, and the most surprising of them."""
    found, tasks, examples = find_outliers(matrix), matrix.task_ids, matrix.example_ids
    cells = [OutlyingCell(tasks[one.row], examples[one.column], one.value, one.robust_sd) for one in found.cells]
    rows = [OutlyingRow(tasks[one.row], one.shift, one.robust_sd, one.spread) for one in found.rows]
    return Outliers(found.n_cells, tuple(cells), found.n_rows, tuple(rows))


@dataclass(frozen=True, eq=False)
class _Moments:
    """n_cells, mean and total squared deviation of the observed cells; the others are of Z and X with every cell.

    products (M, M): XX'; row_mean, row_sd (M,), column_mean, column_sd (N,): of Z
    """

    n_cells: int
    mean: float
    total: float
    products: Floats
    row_mean: Floats
    row_sd: Floats
    column_mean: Floats
    column_sd: Floats


def _moments(rows: KnownRows) -> _Moments:
    n_tasks, n_examples = rows.values.shape
    n_cells = int(rows.n_observed.sum())
    mean = sum(float(np.sum(cells, where=seen)) for _, cells, seen in _blocks(rows)) / n_cells
    total, products, sums = 0.0, np.zeros((n_tasks, n_tasks)), np.zeros(n_tasks)
    column_mean, column_sd = np.zeros(n_examples), np.zeros(n_examples)
    for block, cells, seen in _blocks(rows):
        cells -= mean
        total += float(np.sum(cells**2, where=seen))
        products += cells @ cells.T
        sums += cells.sum(axis=1)
        column_mean[block], column_sd[block] = mean + cells.mean(axis=0), cells.std(axis=0)
    deviation = sums / n_examples
    row_sd = np.sqrt(np.maximum(np.diag(products) / n_examples - deviation**2, 0.0))
    return _Moments(n_cells, mean, total, products, mean + deviation, row_sd, column_mean, column_sd)


def _blocks(rows: KnownRows) -> Iterator[tuple[slice, Floats, Mask | bool]]:
    """Blocks of columns as copies, with the mask of what was measured; True for all."""
    for block, cells in column_blocks(rows.values):
        yield block, cells, True if rows.observed is None else rows.observed[:, block]


def _directions(products: Floats) -> Floats:
    """Left singular vectors by falling singular value, without those of value 0. (M, rank)"""
    squared, vectors = np.linalg.eigh(products)
    kept = squared[::-1] > 1e-12 * max(float(squared[-1]), 0.0)
    return np.asarray(vectors[:, ::-1][:, kept])


def _r2(rows: KnownRows, moments: _Moments, vectors: Floats) -> tuple[tuple[R2, ...], R2, R2]:
    """Of ranks 1, 2, ...; of row and column means; of one product."""
    deviation, n_examples = moments.row_mean - moments.mean, rows.n_examples
    across = np.outer(deviation, np.ones(rows.n_tasks)) * n_examples
    uncentred = moments.products + moments.mean * (across + across.T) + moments.mean**2 * n_examples
    product = _directions(uncentred)[:, :1]
    left = np.zeros(vectors.shape[1] + 2)  # squared residuals
    for block, cells, seen in _blocks(rows):
        single = cells - product @ (product.T @ cells)
        cells -= moments.mean
        additive = cells - deviation[:, None] - (moments.column_mean[block] - moments.row_mean.mean())
        left[-2:] += [float(np.sum(residual**2, where=seen)) for residual in (additive, single)]
        scores = vectors.T @ cells
        for place in range(vectors.shape[1]):
            cells -= np.outer(vectors[:, place], scores[place])
            left[place] += float(np.sum(cells**2, where=seen))
    r2 = [1.0 - residual / moments.total if moments.total > 0 else None for residual in left.tolist()]
    return tuple(r2[:-2]), r2[-2], r2[-1]


def _factors(matrix: ForgettingMatrix, rows: KnownRows, moments: _Moments, vectors: Floats) -> tuple[Factor, ...]:
    """The first factors, each turned so that its loadings add up to more forgetting."""
    loadings = np.zeros((vectors.shape[1], rows.n_examples))
    for block, cells, _ in _blocks(rows):
        loadings[:, block] = vectors.T @ (cells - moments.mean) / np.sqrt(rows.n_tasks)
    signs = np.where(loadings.sum(axis=1) < 0, -1.0, 1.0)
    loadings *= signs[:, None]
    scores = vectors * signs * np.sqrt(rows.n_tasks)
    share = rows.n_tasks * np.sum(loadings**2, axis=1) / max(float(np.trace(moments.products)), 1e-300)
    groups = matrix.domain_positions()
    return tuple(
        Factor(
            factor=place + 1,
            share=float(share[place]),
            domains=_domains(loadings[place], groups),
            tasks=ScoreEnds(*_ends(scores[:, place], partial(_task_score, matrix, scores[:, place]))),
        )
        for place in range(vectors.shape[1])
    )


def _domains(loading: Floats, groups: dict[str, Indices]) -> tuple[DomainLoading, ...]:
    """Mean loading of every domain and its share of the squared loadings, the largest first."""
    total = float(np.sum(loading**2))
    domains = [
        DomainLoading(name, float(loading[positions].mean()), float(np.sum(loading[positions] ** 2)) / total)
        for name, positions in groups.items()
    ]
    return tuple(sorted(domains, key=lambda domain: -abs(domain.mean_loading))[:DOMAINS])


def _ends(values: Floats, named: Callable[[int], T]) -> tuple[tuple[T, ...], tuple[T, ...]]:
    """Most and least by these values, at most ten each and none in both; ties in order."""
    order, n = np.argsort(-values, kind="stable").tolist(), min(EXTREMES, (values.size + 1) // 2)
    return tuple(named(i) for i in order[:n]), tuple(named(i) for i in order[max(n, len(order) - n) :][::-1])


def _task_mean(matrix: ForgettingMatrix, moments: _Moments, task: int) -> TaskMean:
    return TaskMean(matrix.task_ids[task], float(moments.row_mean[task]), float(moments.row_sd[task]))


def _example_mean(matrix: ForgettingMatrix, moments: _Moments, example: int) -> ExampleMean:
    domain = None if matrix.domains is None else matrix.domains[example]
    mean, sd = float(moments.column_mean[example]), float(moments.column_sd[example])
    return ExampleMean(matrix.example_ids[example], domain, mean, sd)


def _task_score(matrix: ForgettingMatrix, scores: Floats, task: int) -> TaskScore:
    return TaskScore(matrix.task_ids[task], float(scores[task]))
