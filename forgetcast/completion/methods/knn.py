"""k nearest neighbours in the paper's sense: biases, and the mean deviation of the nearest known rows from theirs.

Notation
    Z     known rows and, last, the new one                        (M + 1, N)  nats per token
    g     mean of all observed cells of Z
    b, c  biases of rows and columns: Z ~ g + b + c                (M + 1,), (N,)
    s     similarity of a known row, 1 / (1 + mean squared difference over the cells both have)   (M,)
    k     neighbours, 40

The similarity hardly differs between rows whose forgetting is far below one nat, so k alone decides who is heard.

Source: Jin and Ren, arXiv:2406.14026, whose code calls KNNBaseline of scikit-surprise with its defaults and biases by
1000 epochs of gradient descent; those have converged, so the biases are solved for here.
"""

from __future__ import annotations

import numpy as np

from forgetcast.completion.arguments import measured_cells
from forgetcast.completion.types import Floats, Indices, Mask

NEIGHBOURS = 40
RIDGE = 0.02  # of a bias, as a share of its number of cells
BIAS_ROUNDS = 50  # alternations; they move the new row by less than 1e-6 of its forgetting after 20


def knn_mean(known: Floats, observed: Mask, probes: Indices, forgetting: Floats) -> Floats:
    """Forecast of a new row: mean of every cell (N,), measured cells as measured. Everything is computed anew.

    Parameters
    ----------
    known, observed : (M, N) known rows, nats per token, and which of their cells were measured
    probes : (S,) ints, distinct; without any the forecast is the column's bias
    forgetting : (S,) floats, nats per token, after minus before

    Raises
    ------
    UnknownExample, RepeatedExample, WrongShape, WrongKind, NotFinite, BeyondBelief
    """
    probes, forgetting = measured_cells(probes, forgetting, known.shape[1])
    rows, seen = with_new_row(known, observed, probes, forgetting)
    grand, row_bias, column_bias = _biases(rows, seen)
    similarity = _similarities(rows, seen)
    deviation = np.where(observed, rows[:-1] - grand - row_bias[:-1, None] - column_bias, 0.0)
    weight = _of_the_nearest(similarity, observed)
    total = weight.sum(axis=0)
    mean = grand + row_bias[-1] + column_bias
    mean += np.divide((weight * deviation).sum(axis=0), total, out=np.zeros_like(total), where=total > 0)
    mean[probes] = forgetting
    return np.asarray(mean)


def with_new_row(known: Floats, observed: Mask, probes: Indices, forgetting: Floats) -> tuple[Floats, Mask]:
    """Known rows with the new one last, 0 where nothing was measured, and what was. (M + 1, N) both"""
    rows = np.append(np.where(observed, known, 0.0), np.zeros((1, known.shape[1])), axis=0)
    seen = np.append(observed, np.zeros((1, known.shape[1]), dtype=np.bool_), axis=0)
    rows[-1, probes], seen[-1, probes] = forgetting, True
    return rows, seen


def _biases(rows: Floats, seen: Mask) -> tuple[float, Floats, Floats]:
    """g, b (M + 1,) and c (N,) by ridge regression on the observed cells, one side after the other."""
    grand = float(rows[seen].mean())
    centred = np.where(seen, rows - grand, 0.0)
    per_row = (1 + RIDGE) * np.maximum(seen.sum(axis=1), 1)
    per_column = (1 + RIDGE) * np.maximum(seen.sum(axis=0), 1)
    row_bias, column_bias = np.zeros(per_row.size), np.zeros(per_column.size)
    for _ in range(BIAS_ROUNDS):
        row_bias = (centred.sum(axis=1) - seen @ column_bias) / per_row
        column_bias = (centred.sum(axis=0) - row_bias @ seen) / per_column
    return grand, row_bias, column_bias


def _similarities(rows: Floats, seen: Mask) -> Floats:
    """s; 0 for a known row that shares no measured cell with the new one. (M,)"""
    shared = seen[:-1] & seen[-1]
    squared = np.where(shared, (rows[:-1] - rows[-1]) ** 2, 0.0).sum(axis=1)
    count = shared.sum(axis=1)
    return np.where(count > 0, 1.0 / (1.0 + squared / np.maximum(count, 1)), 0.0)


def _of_the_nearest(similarity: Floats, observed: Mask) -> Floats:
    """Weight of every known row in every column: its similarity if it is among the k nearest observed there. (M, N)"""
    order = np.argsort(-similarity, kind="stable")
    rank = np.cumsum(observed[order], axis=0)
    weight = np.zeros(observed.shape)
    weight[order] = np.where(observed[order] & (rank <= NEIGHBOURS), similarity[order, None], 0.0)
    return weight
