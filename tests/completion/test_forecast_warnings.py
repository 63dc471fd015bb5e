"""What a forecast warns of, by the rows and probes that it rests on."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import FittedMethod, ForgettingMatrix, RowForecast, fit
from forgetcast.completion.forecast_warnings import forecast_warnings
from forgetcast.completion.types import Floats


def low_rank_rows(n_tasks: int, seed: int = 0) -> Floats:
    draws = np.random.default_rng(seed)
    factors = draws.normal(size=(n_tasks, 2)) @ np.random.default_rng(99).normal(size=(2, 80))
    return 0.05 + 0.05 * factors + 0.005 * draws.normal(size=factors.shape)


def fitted(n_tasks: int) -> FittedMethod:
    return fit(ForgettingMatrix.from_arrays(low_rank_rows(n_tasks)))


@pytest.fixture(scope="module")
def known() -> FittedMethod:
    return fitted(12)


def forecast(known: FittedMethod, n_probes: int, n_random: int, wild: float = 0.0) -> RowForecast:
    row = low_rank_rows(1, seed=1)[0] + wild * np.random.default_rng(0).normal(size=80)
    probes = np.arange(0, 80, 80 // n_probes)[:n_probes] if n_probes else np.zeros(0, dtype=np.intp)
    return known.forecast(probes, row[probes], random_probes=probes[:n_random])


def codes(row: RowForecast, n_tasks: int = 40) -> list[str]:
    return [warning.partition(": ")[0] for warning in forecast_warnings(row, n_tasks)]


def test_a_task_like_the_known_ones_with_probes_enough_gives_no_warning(known: FittedMethod) -> None:
    assert codes(forecast(known, 20, 20)) == []


@pytest.mark.parametrize(
    ("n_probes", "n_random", "expected"),
    [
        (0, 0, ["unmeasured"]),
        (1, 1, ["too_few_probes", "few_random_probes"]),
        (2, 2, ["too_few_probes", "few_random_probes"]),
        (3, 3, ["few_random_probes"]),
        (20, 14, ["few_random_probes"]),
        (20, 15, []),
        (20, 0, ["few_random_probes"]),
        (80, 0, []),
    ],
)
def test_few_probes_are_warned_of(known: FittedMethod, n_probes: int, n_random: int, expected: list[str]) -> None:
    assert codes(forecast(known, n_probes, n_random)) == expected


def test_a_mean_interval_that_is_missing_is_said_to_be(known: FittedMethod) -> None:
    row = forecast(known, 20, 1)
    assert row.mean_interval() is None
    assert "with fewer than 2 there is no mean_interval" in forecast_warnings(row, 40)[0]


@pytest.mark.parametrize(
    ("n_random", "holds"), [(20, "mean_interval, share_above and what was measured"), (0, "what was measured")]
)
def test_what_holds_of_a_task_unlike_the_known_ones_is_said_first(
    known: FittedMethod, n_random: int, holds: str
) -> None:
    row = forecast(known, 20, n_random, wild=2.0)
    first = forecast_warnings(row, 5)[0]
    assert first == f"unlike_known: this task forgets unlike all known ones; only {holds} can be trusted"


def test_what_matters_most_comes_first(known: FittedMethod) -> None:
    row = forecast(known, 10, 10, wild=2.0)
    assert codes(row, 5) == ["unlike_known", "few_rows", "few_random_probes"]


@pytest.mark.parametrize("n_tasks", [1, 3])
def test_below_four_rows_nothing_is_learned_from_the_matrix_and_the_flag_cannot_speak(n_tasks: int) -> None:
    row = forecast(fitted(n_tasks), 20, 20, wild=2.0)
    assert row.unlike_known is None
    (warning,) = forecast_warnings(row, n_tasks)
    assert warning.startswith(f"few_rows: the matrix has {n_tasks} known row")
    assert "a task unlike the known ones is not noticed" in warning


def test_below_eight_rows_intervals_are_rough(known: FittedMethod) -> None:
    row = forecast(known, 20, 20)
    (warning,) = forecast_warnings(row, 7)
    assert "7 known rows" in warning and "rough below 8" in warning
    assert codes(row, 8) == []
