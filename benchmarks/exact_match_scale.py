"""How long it takes to say which of 141,816 exact matches a new task loses, beside the least it could take.

    python -m benchmarks.exact_match_scale

`limit` is the time to move the bytes that must be read at the bandwidth of a copy, measured in the same process; the
last lines are baselines: one product of loadings and factors with its probabilities and a full sort, nothing folded in,
and the fold-in of the paper's code, 5,000 steps of gradient descent over the probes, then the same.
"""

from __future__ import annotations

import sys

import numpy as np
from numpy.typing import NDArray

from benchmarks.completion_scale import N_PROBES, N_TASKS, TOP, WIDE, Reporter, copy_bandwidth, median_of, timed
from forgetcast.completion import FittedExactMatch, ForgettingMatrix, fit_exact_match
from forgetcast.completion.exact_match.calibration import usual_calibration
from forgetcast.completion.exact_match.gradient_descent import RATE, RIDGE, STEPS
from forgetcast.completion.exact_match.logistic_model import LogisticModel, condition
from forgetcast.completion.exact_match.methods import LOGISTIC
from forgetcast.completion.exact_match.newton import sigmoid

GOAL = 0.020  # seconds, of a fold-in with probabilities and the highest

Cells = NDArray[np.float32]


def main(with_fit: bool) -> None:
    print("| M x N | what | seconds | goal | limit | times |\n|---|---|---|---|---|---|", flush=True)
    say = Reporter(f"{N_TASKS} x {WIDE:,}", copy_bandwidth())
    lost = made_losses(N_TASKS + 1, WIDE)
    if with_fit:
        fitted, seconds = timed(lambda: fit_exact_match(ForgettingMatrix.from_arrays(lost[:N_TASKS])))
        say("fit, every choice by leaving rows out", seconds, n_bytes=lost.nbytes)
    else:
        fitted = made_fit(WIDE)
    probes = np.sort(fitted.probes(N_PROBES).positions)
    measured = lost[-1, probes].astype(np.float64)
    must_read = fitted.model.loadings.nbytes + fitted.model.intercept.nbytes
    seconds = median_of(lambda: condition(fitted.model, probes, measured))
    say(f"{N_PROBES} probes folded in", seconds)
    seconds = median_of(lambda: fitted.forecast(probes, measured).top(TOP))
    say(f"folded in, probabilities, top {TOP}", seconds, goal=GOAL, n_bytes=must_read)
    row = condition(fitted.model, probes, measured)
    seconds = median_of(lambda: plain_answer(fitted.model, row.w))
    say("baseline: product, probabilities, full sort", seconds, n_bytes=must_read)
    seconds = median_of(lambda: plain_answer(fitted.model, descended(fitted.model, probes, measured)), repeats=3)
    say(f"baseline: {STEPS:,} steps of gradient descent, then that", seconds, n_bytes=must_read)


def made_losses(n_tasks: int, n_examples: int) -> Cells:
    """Cells of rank 5, 0 and 1, a row at a time."""
    generator = np.random.default_rng(0)
    intercept = generator.standard_normal(n_examples, dtype=np.float32)
    factors = 0.7 * generator.standard_normal((5, n_examples), dtype=np.float32)
    lost = np.empty((n_tasks, n_examples), dtype=np.float32)
    for row in lost:
        logits = intercept + generator.standard_normal(5, dtype=np.float32) @ factors
        row[:] = generator.random(n_examples, dtype=np.float32) < 1.0 / (1.0 + np.exp(-logits))
    return lost


def made_fit(n_examples: int) -> FittedExactMatch:
    """Row shift and 5 factors of no matrix: what a forecast costs does not depend on where they are from."""
    generator = np.random.default_rng(1)
    loadings = generator.standard_normal((6, n_examples), dtype=np.float32)
    model = LogisticModel(generator.standard_normal(n_examples, dtype=np.float32), loadings)
    return FittedExactMatch(LOGISTIC, model, usual_calibration(), 0.5)


def plain_answer(model: LogisticModel, w: NDArray[np.float64]) -> NDArray[np.intp]:
    probability = sigmoid(np.asarray(model.intercept + w.astype(np.float32) @ model.loadings, dtype=np.float64))
    return np.argsort(-probability)[:TOP]


def descended(model: LogisticModel, probes: NDArray[np.intp], lost: NDArray[np.float64]) -> NDArray[np.float64]:
    """Factors of a row by gradient descent at the paper's rate."""
    loadings, intercept = model.loadings[:, probes].astype(np.float64), model.intercept[probes]
    w = np.zeros(loadings.shape[0])
    for _ in range(STEPS):
        w = w + RATE * (loadings @ (lost - sigmoid(intercept + w @ loadings)) - RIDGE * w)
    return w


if __name__ == "__main__":
    main(with_fit="--without-fit" not in sys.argv[1:])
