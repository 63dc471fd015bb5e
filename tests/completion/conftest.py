"""Matrices whose truth is known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import settings

from forgetcast.completion import ForgettingMatrix

settings.register_profile("no_deadline", deadline=None)  # a busy machine is not a failure
settings.load_profile("no_deadline")

MakeMatrix = Callable[..., ForgettingMatrix]


def make_forgetting(
    n_tasks: int = 6, n_examples: int = 20, rank: int = 2, seed: int = 0, noise: float = 0.02
) -> np.ndarray:
    """Z = 0.05 + column mean + row shift + rank factors + noise that differs between columns."""
    generator = np.random.default_rng(seed)
    column_mean = 0.05 + 0.05 * generator.standard_normal(n_examples)
    shift = 0.03 * generator.standard_normal((n_tasks, 1))
    factors = 0.03 * generator.standard_normal((n_tasks, rank)) @ generator.standard_normal((rank, n_examples))
    column_noise = noise * generator.uniform(0.5, 1.5, n_examples)
    return column_mean + shift + factors + column_noise * generator.standard_normal((n_tasks, n_examples))


def far_rows(known: np.ndarray, n_rows: int, scale: float = 1.0, seed: int = 0) -> np.ndarray:
    """Rows far from all known ones: the columns' means, and a pattern of their own instead of the known rows'.

    ``scale`` : sd of that pattern over the sd of the known rows around the column means
    """
    generator = np.random.default_rng(seed)
    mean = known.mean(axis=0)
    sd = scale * float((known - mean).std())
    return np.asarray(mean + sd * generator.standard_normal((n_rows, known.shape[1])))


def share_outside(known: np.ndarray, row: np.ndarray) -> float:
    """Share of a row's squared deviation from the column means that lies outside the span of the known rows'."""
    centred = known - known.mean(axis=0)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    basis = right[singular > 1e-9 * singular[0]]
    deviation = row - known.mean(axis=0)
    return 1.0 - float(np.sum((basis @ deviation) ** 2) / np.sum(deviation**2))


@pytest.fixture
def make_matrix() -> MakeMatrix:
    """A matrix of this shape; ``missing`` is the share of cells that were never measured."""

    def make(
        n_tasks: int = 6,
        n_examples: int = 20,
        rank: int = 2,
        seed: int = 0,
        noise: float = 0.02,
        missing: float = 0.0,
    ) -> ForgettingMatrix:
        forgetting = make_forgetting(n_tasks, n_examples, rank, seed, noise)
        observed = np.random.default_rng(seed + 1).random(forgetting.shape) >= missing
        observed[:, 0] = True
        return ForgettingMatrix.from_arrays(forgetting, observed=observed)

    return make
