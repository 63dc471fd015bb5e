"""Which task to measure next, of tasks whose data are known and whose rows are not.

What is known of the tasks are likenesses of their data; what a row tells of the others is learned from the rows that
were measured so far. The next task is the one whose row is expected to leave the least unknown of all tasks' rows.

Notation
    T  tasks that may be measured       m  rows measured so far
    F  likeness of data by kind         (K, T, T)  each 1 for a task with itself
    K  expected correlation of rows     (T, T)
    P  what is unknown of the rows, given those measured    (T, T)
    s  share of a row that no other task tells

Source: Krause, Singh and Guestrin (2008), Near-Optimal Sensor Placements in Gaussian Processes; the criterion is that
of A-optimal design, the trace of P.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetcast.completion.types import Floats
from forgetcast.errors import OutOfRange, WrongShape

OWN = 0.3  # s, of the correlation of rows: what a task has of its own, on measured matrices
PRIOR = 6.0  # pairs of rows that the weights before any row count as
COMMON = 0.2  # expected correlation of rows of tasks that are unlike in every way, before any row


def seed_order(likeness: Floats, rows: Floats | None = None, measured: Sequence[int] = ()) -> list[int]:
    """Tasks that are not measured yet, the most telling first.

    Parameters
    ----------
    likeness : (K, T, T) floats, symmetric, 1 on the diagonal; each kind of it says how alike tasks' data are
    rows : (m, N) floats, nats per token, NaN where missing, of the measured tasks; without them the order rests on data
    measured : tasks whose rows these are, or that are being measured

    Raises
    ------
    WrongShape, OutOfRange
    """
    n_tasks = _check(likeness, measured)
    own = list(measured)
    expected = expected_correlation(likeness, rows, own[: 0 if rows is None else len(rows)])
    unknown = _given(expected, own)
    order: list[int] = []
    left = sorted(set(range(n_tasks)) - set(own))
    while left:
        gains = np.sum(unknown[:, left] ** 2, axis=0) / (np.diag(unknown)[left] + OWN)
        best = left[int(np.argmax(gains))]
        order.append(best)
        left.remove(best)
        unknown = unknown - np.outer(unknown[:, best], unknown[best]) / (unknown[best, best] + OWN)
    return order


def expected_correlation(likeness: Floats, rows: Floats | None, measured: Sequence[int]) -> Floats:
    """K: a constant and the likenesses, weighted as they tell the correlation of the measured rows. (T, T)"""
    n_kinds, n_tasks = likeness.shape[:2]
    parts = np.concatenate([np.ones((1, n_tasks, n_tasks)), likeness])
    weights = np.full(n_kinds + 1, (1 - COMMON) / max(n_kinds, 1))
    weights[0] = COMMON
    if rows is not None and len(measured) >= 3:
        weights = _learned(parts, correlation(rows), measured, weights)
    expected = np.tensordot(weights, parts, axes=1)
    np.fill_diagonal(expected, 1.0)
    return np.asarray(expected)


def correlation(rows: Floats) -> Floats:
    """Correlation of rows, columns centred, over the cells that both have. (m, m)"""
    seen = ~np.isnan(rows)
    centred = np.where(seen, rows - np.nanmean(rows, axis=0), 0.0)
    products, squares = centred @ centred.T, (centred**2) @ seen.T
    norms = np.sqrt(squares * squares.T)
    return np.asarray(np.divide(products, norms, out=np.zeros_like(products), where=norms > 0))


def _learned(parts: Floats, found: Floats, measured: Sequence[int], before: Floats) -> Floats:
    """Weights between those before any row and those that fit the measured pairs, none below 0."""
    upper = np.triu_indices(len(measured), 1)
    place = np.asarray(measured)
    design = np.stack([part[np.ix_(place, place)][upper] for part in parts], axis=1)
    # Centring the columns takes 1 / (m - 1) of every pair's correlation away, whatever the tasks are.
    target = found[upper] + 1 / (len(measured) - 1)
    weights = before.copy()
    gram = design.T @ design + PRIOR * np.eye(len(before))
    aim = design.T @ target + PRIOR * before
    free = np.ones(len(before), dtype=np.bool_)
    for _ in before:
        weights = np.zeros(len(before))
        weights[free] = np.linalg.solve(gram[np.ix_(free, free)], aim[free])
        if (weights >= 0).all():
            break
        free &= weights > 0
    return weights / max(1.0, float(weights.sum()))


def _given(expected: Floats, measured: Sequence[int]) -> Floats:
    """P after these rows."""
    if not measured:
        return expected
    place = np.asarray(measured)
    across = expected[:, place]
    among = across[place] + OWN * np.eye(place.size)
    return np.asarray(expected - across @ np.linalg.solve(among, across.T))


def _check(likeness: Floats, measured: Sequence[int]) -> int:
    """T."""
    if likeness.ndim != 3 or likeness.shape[1] != likeness.shape[2]:
        raise WrongShape(f"Likeness has shape {likeness.shape}; kinds by tasks by tasks is needed.")
    n_tasks = int(likeness.shape[1])
    if any(not 0 <= task < n_tasks for task in measured) or len(set(measured)) < len(measured):
        raise OutOfRange(f"Measured tasks are distinct numbers from 0 to {n_tasks - 1}.")
    return n_tasks
