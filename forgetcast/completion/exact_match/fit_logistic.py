"""The logistic factor model of known rows, by Newton steps over rows and columns in turn.

Notation
    Y      lost cells                                (M, N)  0 and 1
    c, c0  intercepts of the columns and their mean  (N,)    logit
    s      row shifts                                (M,)    logit
    A, B   scores of the rows, loadings              (M, R), (N, R)
    f      sum over measured cells of ln(1 + e^x) - y x, x = c_j + s_i + a_i'b_j,
           + |c - c0|^2 / 2 tau_c + |s|^2 / 2 tau_s + lam (|A|^2 + |B|^2) / 2

The last term is lam times the sum of the singular values of AB', so that lam chooses the rank. tau_c and tau_s are the
variances under which the additive model is most probable (Laplace's approximation, by expectation maximisation).

Source: Jin and Ren, arXiv:2406.14026, for a logistic factor model of exact matches; Srebro, Rennie and Jaakkola (2004),
Maximum-Margin Matrix Factorization, for the sum of singular values; Bishop, PRML, section 9.3.4, for the variances.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from forgetcast.completion.blocks import column_slices
from forgetcast.completion.draws import Draws
from forgetcast.completion.exact_match.logistic_model import LogisticModel
from forgetcast.completion.exact_match.newton import Regressions, sigmoid
from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.types import Floats, Indices, Mask

MOST_COLUMNS = 4096  # that the rows' scores are found on; the others follow, given them
MOST_ROUNDS = 300
ENOUGH = 1e-6  # of f: what a round must take off it
VARIANCE_ROUNDS = 12
LEAST_VARIANCE, MOST_VARIANCE = 0.01, 25.0  # of intercepts and shifts, squared logits
STEPS_A_ROUND = 1
PSEUDO_ROWS = 2.0  # of unrelated scores, that the covariance of the scores of few rows is not believed as it is


@dataclass(frozen=True)
class Penalties:
    """Variances of intercepts and row shifts, squared logits, and lam."""

    columns: float
    rows: float
    factors: float


@dataclass(frozen=True, eq=False)
class Parts:
    """Everything that f depends on: centre c0, intercept (N,), shift (M,), scores (M, R), loadings (N, R)."""

    centre: float
    intercept: Floats
    shift: Floats
    scores: Floats
    loadings: Floats


@dataclass(frozen=True, eq=False)
class LostRows:
    """Cells of the known rows. lost (M, N) floats, 0 where not measured; seen (M, N) bools, None where all were."""

    lost: Floats
    seen: Mask | None

    @property
    def typical_lam(self) -> float:
        """Largest singular value that cells without any pattern would have: lam beyond it leaves no factor."""
        share = self.lost.sum() / (self.lost.size if self.seen is None else max(1, int(self.seen.sum())))
        spread = np.sqrt(max(share * (1.0 - share), 1.0 / self.lost.size))
        return float(spread * (np.sqrt(self.lost.shape[0]) + np.sqrt(self.lost.shape[1])))


def lost_rows(matrix: ForgettingMatrix, columns: Indices | None = None) -> LostRows:
    """The cells of a matrix, or of some of its columns."""
    take = slice(None) if columns is None else columns
    observed = matrix.observed[:, take]
    complete = bool(observed.all())
    lost = np.where(observed, matrix.forgetting[:, take], 0.0).astype(np.float64)
    return LostRows(lost, None if complete else np.ascontiguousarray(observed))


def objective(rows: LostRows, parts: Parts, penalties: Penalties) -> float:
    """f."""
    logits = parts.intercept + parts.shift[:, None] + parts.scores @ parts.loadings.T
    cells = np.logaddexp(0.0, logits) - rows.lost * logits
    likelihood = float(np.sum(cells, where=True if rows.seen is None else rows.seen))
    columns = float(np.sum((parts.intercept - parts.centre) ** 2)) / (2.0 * penalties.columns)
    shifts = float(np.sum(parts.shift**2)) / (2.0 * penalties.rows)
    factors = penalties.factors * float(np.sum(parts.scores**2) + np.sum(parts.loadings**2)) / 2.0
    return likelihood + columns + shifts + factors


def additive_parts(rows: LostRows, with_shift: bool = True) -> tuple[Parts, Penalties]:
    """The model without factors, and the variances of intercepts and shifts that make the cells most probable."""
    n_tasks, n_columns = rows.lost.shape
    empty = Parts(0.0, np.zeros(n_columns), np.zeros(n_tasks), np.zeros((n_tasks, 0)), np.zeros((n_columns, 0)))
    parts, penalties = empty, Penalties(1.0, 1.0, 1.0)
    for _ in range(VARIANCE_ROUNDS):
        parts = _round(rows, parts, penalties, with_shift)
        column_doubt = 1.0 / _columns(rows, parts, penalties).curvature(parts.intercept[:, None])[:, 0, 0]
        row_doubt = 1.0 / _rows(rows, parts, penalties).curvature(parts.shift[:, None])[:, 0, 0]
        columns = float(np.mean((parts.intercept - parts.centre) ** 2 + column_doubt))
        shifts = float(np.mean(parts.shift**2 + row_doubt)) if with_shift else 1.0
        penalties = Penalties(_within(columns), _within(shifts), penalties.factors)
    return fit_parts(rows, parts, penalties, with_shift=with_shift), penalties


def _within(variance: float) -> float:
    return min(max(variance, LEAST_VARIANCE), MOST_VARIANCE)


def fit_parts(
    rows: LostRows,
    start: Parts,
    penalties: Penalties,
    *,
    with_shift: bool = True,
    rounds: int = MOST_ROUNDS,
    enough: float = ENOUGH,
) -> Parts:
    """Parts at which f is smallest, from a start: rounds until one takes less than a share of f off it."""
    parts, value = start, objective(rows, start, penalties)
    for _ in range(rounds):
        parts = _round(rows, parts, penalties, with_shift)
        before, value = value, objective(rows, parts, penalties)
        if before - value <= enough * (1.0 + abs(value)):
            break
    return parts


def with_factors(rows: LostRows, parts: Parts, rank: int) -> Parts:
    """The additive parts with first guesses of factors: what is left of the cells, by its singular vectors."""
    rank = max(0, min(rank, min(rows.lost.shape) - 1))
    chance = sigmoid(parts.intercept + parts.shift[:, None])
    left = rows.lost - chance
    if rows.seen is not None:
        left *= rows.seen
    vectors, singular, _ = np.linalg.svd(left @ left.T)
    vectors, singular = vectors[:, :rank], np.sqrt(np.sqrt(singular[:rank] + 1e-12))
    loadings = left.T @ vectors / np.maximum(singular, 1e-6)
    return replace(parts, scores=vectors * singular, loadings=loadings)


def fit_model(matrix: ForgettingMatrix, rank: int, with_shift: bool, share: float) -> LogisticModel:
    """The model of the known rows.

    Parameters
    ----------
    rank : number of factors beside the row shift
    share : lam over the largest singular value that cells without a pattern would have
    """
    if matrix.n_examples <= MOST_COLUMNS:
        rows = lost_rows(matrix)
        return model_of(rows, *_fitted(rows, rank, with_shift, [share], ENOUGH)[0], with_shift)
    rows = lost_rows(matrix, np.sort(Draws(0).beginning_of_permutation(matrix.n_examples, MOST_COLUMNS)))
    return _widened(matrix, rows, *_fitted(rows, rank, with_shift, [share], ENOUGH)[0], with_shift)


def models_at(
    matrix: ForgettingMatrix, rank: int, with_shift: bool, shares: Sequence[float], enough: float
) -> list[LogisticModel]:
    """The models of all columns at several shares of lam, from the largest down; each starts where the last ended."""
    rows = lost_rows(matrix)
    return [model_of(rows, *each, with_shift) for each in _fitted(rows, rank, with_shift, shares, enough)]


def model_of(rows: LostRows, parts: Parts, penalties: Penalties, with_shift: bool) -> LogisticModel:
    """The prior of a new row: its shift and scores vary as those of the known ones do."""
    return _as_model(parts.intercept, parts.loadings, *_prior(rows, parts, penalties, with_shift))


def _fitted(
    rows: LostRows, rank: int, with_shift: bool, shares: Sequence[float], enough: float
) -> list[tuple[Parts, Penalties]]:
    """Parts and penalties at every share."""
    parts, penalties = additive_parts(rows, with_shift)
    if rank == 0:
        return [(parts, penalties)] * len(shares)
    parts, found = with_factors(rows, parts, rank), []
    for share in shares:
        penalties = replace(penalties, factors=share * rows.typical_lam)
        parts = fit_parts(rows, parts, penalties, with_shift=with_shift, enough=enough)
        found.append((parts, penalties))
    return found


def _prior(rows: LostRows, parts: Parts, penalties: Penalties, with_shift: bool) -> tuple[Floats, Floats]:
    """Mean of shift and scores over the known rows (K,), and a root of their covariance (K, K)."""
    if not with_shift:
        return np.zeros(1), np.zeros((1, 0))
    found = np.column_stack([parts.shift, parts.scores])
    doubt = np.sum(np.linalg.inv(_rows(rows, parts, penalties).curvature(found)), axis=0)
    centre, n_tasks = found.mean(axis=0), found.shape[0]
    moment = (found - centre).T @ (found - centre) + doubt
    usual = np.maximum(np.diag(moment) / n_tasks, 1e-9)
    return centre, np.linalg.cholesky((moment + PSEUDO_ROWS * np.diag(usual)) / (n_tasks + PSEUDO_ROWS))


def _as_model(intercept: Floats, loadings: Floats, centre: Floats, root: Floats) -> LogisticModel:
    features = np.column_stack([np.ones(intercept.size), loadings])
    return LogisticModel(intercept + features @ centre, np.ascontiguousarray((features @ root).T))


def _widened(
    matrix: ForgettingMatrix, rows: LostRows, parts: Parts, penalties: Penalties, with_shift: bool
) -> LogisticModel:
    """The model over all columns, each found from the shifts and scores that some of them gave; float32."""
    n, rank = matrix.n_examples, parts.scores.shape[1]
    centre, root = _prior(rows, parts, penalties, with_shift)
    wide = LogisticModel(np.empty(n, np.float32), np.empty((root.shape[1], n), np.float32))
    for block in column_slices(matrix.n_tasks, n):
        positions = np.arange(block.start, block.stop)
        start = replace(
            parts, intercept=np.full(positions.size, parts.centre), loadings=np.zeros((positions.size, rank))
        )
        columns = _columns(lost_rows(matrix, positions), start, penalties)
        beta = columns.minimum(np.column_stack([start.intercept, start.loadings]))
        found = _as_model(beta[:, 0], beta[:, 1:], centre, root)
        wide.intercept[block], wide.loadings[:, block] = found.intercept, found.loadings
    return wide


def _round(rows: LostRows, parts: Parts, penalties: Penalties, with_shift: bool) -> Parts:
    """Newton steps of all columns, of the centre, then of all rows; none raises f."""
    columns = _columns(rows, parts, penalties)
    beta = columns.minimum(np.column_stack([parts.intercept, parts.loadings]), STEPS_A_ROUND)
    intercept = beta[:, 0]
    parts = replace(parts, centre=float(intercept.mean()), intercept=intercept, loadings=beta[:, 1:])
    if not with_shift:
        return parts
    found = _rows(rows, parts, penalties).minimum(np.column_stack([parts.shift, parts.scores]), STEPS_A_ROUND)
    return replace(parts, shift=found[:, 0], scores=found[:, 1:])


def _columns(rows: LostRows, parts: Parts, penalties: Penalties) -> Regressions:
    """Intercept and loadings of every column, given shifts and scores."""
    rank = parts.scores.shape[1]
    return Regressions(
        features=np.column_stack([np.ones(parts.shift.size), parts.scores]),
        lost=rows.lost.T,
        weight=None if rows.seen is None else rows.seen.T,
        offset=parts.shift,
        centre=np.array([parts.centre] + [0.0] * rank),
        ridge=np.array([1.0 / penalties.columns] + [penalties.factors] * rank),
    )


def _rows(rows: LostRows, parts: Parts, penalties: Penalties) -> Regressions:
    """Shift and scores of every row, given intercepts and loadings."""
    rank = parts.scores.shape[1]
    return Regressions(
        features=np.column_stack([np.ones(parts.intercept.size), parts.loadings]),
        lost=rows.lost,
        weight=rows.seen,
        offset=parts.intercept,
        centre=np.zeros(1 + rank),
        ridge=np.array([1.0 / penalties.rows] + [penalties.factors] * rank),
    )
