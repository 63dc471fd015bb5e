"""Lost cells whose probabilities are known."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from forgetcast.completion.exact_match.fit_logistic import LostRows

MakeLost = Callable[..., tuple[np.ndarray, np.ndarray]]


@pytest.fixture(scope="session")
def make_lost() -> MakeLost:
    """Cells (M, N), 0 and 1, and their probabilities: intercepts, row shifts and factors, all standard normal."""

    def make(
        n_tasks: int = 20, n_examples: int = 60, rank: int = 2, seed: int = 0, size: float = 1.0, lost: float = 0.0
    ) -> tuple[np.ndarray, np.ndarray]:
        generator = np.random.default_rng(seed)
        logits = lost + generator.standard_normal((1, n_examples)) + generator.standard_normal((n_tasks, 1))
        factors = generator.standard_normal((n_tasks, rank)) @ generator.standard_normal((rank, n_examples))
        chance = 1.0 / (1.0 + np.exp(-(logits + size * factors)))
        return (generator.random(chance.shape) < chance).astype(np.float64), chance

    return make


@pytest.fixture
def make_rows(make_lost) -> Callable[..., LostRows]:
    """The same as rows of a fit; ``missing`` is the share of cells that were never measured."""

    def make(missing: float = 0.0, seed: int = 0, **shape) -> LostRows:
        lost, _ = make_lost(seed=seed, **shape)
        if missing == 0.0:
            return LostRows(lost, None)
        seen = np.random.default_rng(seed + 1).random(lost.shape) >= missing
        return LostRows(np.where(seen, lost, 0.0), seen)

    return make
