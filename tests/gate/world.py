"""Made rows whose truth is known, and subjects of the gate made of them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from forgetcast.completion import FittedMethod, ForgettingMatrix, RowForecast
from forgetcast.gate.finished import finished_row
from forgetcast.gate.fitting import fit_for_gate
from forgetcast.gate.policy import Policy
from forgetcast.gate.policy_files import check_policy
from forgetcast.gate.subject import QualityFigures, Subject

N_EXAMPLES, N_KNOWN = 240, 40
DOMAINS = ["poems", "code", "facts"]
DOMAIN_OF = [DOMAINS[position % 3] for position in range(N_EXAMPLES)]
IDS = [f"example-{position}" for position in range(N_EXAMPLES)]
GOOD = QualityFigures(coverage=0.9, row_mean_ratio=0.5)


def made_rows(n_rows: int, seed: int) -> np.ndarray:
    """Rows of three factors, of different sizes, with noise."""
    world, generator = np.random.default_rng(11), np.random.default_rng(seed)
    mean = 0.05 + 0.05 * world.standard_normal(N_EXAMPLES)
    loadings = 0.03 * world.standard_normal((3, N_EXAMPLES))
    size = np.exp(0.3 * generator.standard_normal((n_rows, 1)))
    parts = 0.03 * generator.standard_normal((n_rows, 1)) + generator.standard_normal((n_rows, 3)) @ loadings
    rows: np.ndarray = mean + size * (parts + 0.03 * generator.standard_normal((n_rows, N_EXAMPLES)))
    return rows


@cache
def fitted() -> FittedMethod:
    return fit_for_gate(ForgettingMatrix.from_arrays(made_rows(N_KNOWN, seed=1), domains=DOMAIN_OF))


def forecast_of(row: np.ndarray, size: int = 30, seed: int = 0) -> RowForecast:
    probes = fitted().probes(size, seed=seed)
    drawn = probes.positions[probes.at_random]
    return fitted().forecast(probes.positions, row[probes.positions], random_probes=drawn)


def subject(row: RowForecast | np.ndarray, **changes: Any) -> Subject:
    """A candidate of a matrix that is well back-tested; a row of numbers is one that was measured in full."""
    completed = finished_row(row) if isinstance(row, np.ndarray) else row
    made = Subject(completed, IDS, DOMAIN_OF, fitted=fitted(), quality=GOOD, identity="matrix 3, task t 1, model 4")
    return replace(made, **changes)


def policy(*assertions: dict[str, Any], **top: Any) -> Policy:
    return check_policy({"assertions": list(assertions), **top})


def mean_below(limit: float, **more: Any) -> dict[str, Any]:
    return {"metric": "mean_forgetting", "max": limit, **more}
