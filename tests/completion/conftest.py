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
