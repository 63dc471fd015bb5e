"""The paper's two methods for exact matches, fitted anew with the new rows' probes: baselines of the back-test.

Notation
    Y     lost cells of known rows, and the probes of new ones   (M, N)  0 and 1
    seen  which cells those are                                  (M, N)
    W, H  factors of rows and columns: logits are WH, or w + h   (M, R), (R, N)

Full-batch gradient descent at a fixed rate, from small random numbers, without intercepts where there are factors.

Source: Jin and Ren, arXiv:2406.14026, and the settings of its published code: rank 5, 5,000 steps of 0.001, ridge 0.1.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from forgetcast.completion.draws import Draws
from forgetcast.completion.exact_match.newton import sigmoid
from forgetcast.completion.types import Floats, Mask

RANK = 5
STEPS = 5000
RATE = 0.001
RIDGE = 0.1
START = 0.005  # standard deviation of the first factors; of the additive terms it is 1


def paper_logistic(lost: Floats, seen: Mask, seed: int = 0, steps: int = STEPS) -> Floats:
    """Probability of every cell by the logistic factor model. (M, N)"""
    n_tasks, n_examples = lost.shape
    draws = Draws(seed)
    rows = START * draws.normals(n_tasks * RANK).reshape(n_tasks, RANK)
    columns = START * draws.normals(RANK * n_examples).reshape(RANK, n_examples)
    for _ in range(steps):
        columns = columns + RATE * (rows.T @ _error(lost, seen, rows @ columns) - RIDGE * columns)
        rows = rows + RATE * (_error(lost, seen, rows @ columns) @ columns.T - RIDGE * rows)
    return sigmoid(rows @ columns)


def paper_additive(lost: Floats, seen: Mask, seed: int = 0, steps: int = STEPS) -> Floats:
    """Probability of every cell by the additive logit. (M, N)"""
    n_tasks, n_examples = lost.shape
    draws = Draws(seed)
    rows, columns = draws.normals(n_tasks)[:, None], draws.normals(n_examples)[None, :]
    for _ in range(steps):
        columns = columns + RATE * (_error(lost, seen, rows + columns).sum(axis=0, keepdims=True) - RIDGE * columns)
        rows = rows + RATE * (_error(lost, seen, rows + columns).sum(axis=1, keepdims=True) - RIDGE * rows)
    return sigmoid(rows + columns)


REFITTED: dict[str, Callable[[Floats, Mask], Floats]] = {
    "paper_logistic": paper_logistic,
    "paper_additive": paper_additive,
}


def _error(lost: Floats, seen: Mask, logits: Floats) -> Floats:
    return np.asarray((lost - sigmoid(logits)) * seen)
