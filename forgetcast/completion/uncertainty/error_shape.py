"""The distribution of errors beside their scale, learned from left-out rows: skewed and heavy-tailed as it is.

Notation
    u   error over (sd by the factor model x scale of its row)
    Q   quantiles of u at PROBABILITIES: a shape
    F   distribution of an error in sd: that of u tau, averaged over the scales tau that it may have
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from forgetcast.completion.types import Floats
from forgetcast.completion.uncertainty.row_scale import Scales
from forgetcast.completion.uncertainty.student import student_quantile

# Even steps of the logit: fine in both tails, where intervals end.
PROBABILITIES = 1.0 / (1.0 + np.exp(-np.linspace(-10.0, 10.0, 81)))
TAIL_FREEDOM = 3.0  # of the Student tail beyond what left-out rows can show
ROWS_BEYOND = 1.5  # rows' worth of errors beyond a quantile for it to be believed: the extreme ones lie in a few rows
USUAL_FREEDOM = 6.0  # of the shape where no row can be left out
NEGLIGIBLE = 1e-7  # weight of a scale that is left out of an average
ERRORS = np.concatenate([[0.0], np.exp(np.linspace(-5.0, 7.0, 145))])  # where F is tabled, in sd


def student_shape() -> Floats:
    """Q of a Student variable of mean square 1: the shape where no row can be left out. (P,)"""
    unit = ((USUAL_FREEDOM - 2) / USUAL_FREEDOM) ** 0.5
    return np.array([unit * student_quantile(float(p), USUAL_FREEDOM) for p in PROBABILITIES])


def shape_of(rows: Sequence[Floats]) -> Floats:
    """Q of the pooled errors u of several rows, every row weighing the same; Student's without any. (P,)"""
    rows = [row for row in rows if row.size]
    if not rows:
        return student_shape()
    values = np.concatenate(rows)
    weights = np.concatenate([np.full(row.size, 1.0 / (row.size * len(rows))) for row in rows])
    order = np.argsort(values, kind="stable")
    values, weights = values[order], weights[order]
    quantiles = np.interp(PROBABILITIES, np.cumsum(weights) - weights / 2, values)
    least = min(0.1, ROWS_BEYOND / len(rows))
    return _with_tail(-_with_tail(-quantiles[::-1], least)[::-1], least)


def error_quantile(shape: Floats, scales: Scales, probability: float) -> float:
    """The error, in sd of the factor model, that a cell or an average stays below with this probability."""
    if probability >= 0.5:
        return float(np.interp(probability, _below(shape, scales, ERRORS), ERRORS))
    return -float(np.interp(1.0 - probability, 1.0 - _below(shape, scales, -ERRORS), ERRORS))


def error_probability(shape: Floats, scales: Scales, errors: Floats) -> Floats:
    """Probability that an error stays below each of these, in sd of the factor model. (n,)"""
    points = np.concatenate([-ERRORS[:0:-1], ERRORS])
    return np.interp(errors, points, _below(shape, scales, points))


def _below(shape: Floats, scales: Scales, points: Floats) -> Floats:
    """F at these points."""
    likely = scales.weights > NEGLIGIBLE
    within = np.interp(points[None, :] / scales.values[likely, None], shape, PROBABILITIES)
    return np.asarray((scales.weights[likely] @ within) / scales.weights[likely].sum())


def _with_tail(quantiles: Floats, least: float) -> Floats:
    """The upper tail beyond probability 1 - least at least as long as a Student variable's."""
    beyond = least > 1.0 - PROBABILITIES
    if not beyond.any():
        return quantiles
    last = int(np.argmax(beyond)) - 1
    student = np.array([student_quantile(float(p), TAIL_FREEDOM) for p in PROBABILITIES[last:]])
    continued = quantiles.copy()
    continued[last:] = np.maximum(quantiles[last:], max(float(quantiles[last]), 1e-3) * student / student[0])
    return np.asarray(np.maximum.accumulate(continued))
