"""Two models beside each other, example by example."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from forgetcast.errors import NotFinite, NothingObserved, OutOfRange, WrongShape
from forgetcast.gate.comparison import Found, compare, false_discovery_rates, floor_of_noise

N = 200
IDS = [f"e{number}" for number in range(N)]
DOMAIN_OF = ["code" if number % 2 else "poems" for number in range(N)]


def rows(
    difference: float = 0.0, n: int = N, seed: int = 0, sd: float = 0.1
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    draws = np.random.default_rng(seed)
    first = draws.standard_normal(n)
    return first, first + difference + sd * draws.standard_normal(n)


def test_every_example_is_worse_better_or_unchanged():
    first = np.array([0.0, 0.0, 0.0, 0.0])
    found = compare(first, np.array([0.3, -0.3, 0.1, -0.1]), IDS[:4], noise_floor=0.2)
    assert (found.n, found.n_worse, found.n_better, found.n_unchanged) == (4, 1, 1, 2)
    assert [flip.example_id for flip in found.worse] == ["e0"]
    assert [flip.example_id for flip in found.better] == ["e1"]


@pytest.mark.parametrize(
    ("difference", "found"), [(0.1, Found.REGRESSION), (-0.1, Found.IMPROVEMENT), (0.0, Found.NO_DIFFERENCE)]
)
def test_a_difference_is_found_where_there_is_one(difference, found):
    assert compare(*rows(difference), IDS).found == found


def test_the_same_row_twice_differs_in_nothing():
    first, _ = rows()
    found = compare(first, first, IDS, DOMAIN_OF)
    assert (found.found, found.p, found.low, found.high, found.effect) == (Found.NO_DIFFERENCE, 1.0, 0.0, 0.0, 0.0)
    assert (found.n_unchanged, found.smallest_seen, found.worse) == (N, 0.0, ())


def test_where_nothing_differs_p_is_even_and_the_interval_holds_nothing():
    """Of 200 comparisons of equal models 5% are called different, give or take 3 points."""
    found = [compare(*rows(n=60, seed=seed), IDS[:60]) for seed in range(200)]
    assert np.mean([one.p <= 0.05 for one in found]) == pytest.approx(0.05, abs=0.035)
    assert np.mean([one.low <= 0.0 <= one.high for one in found]) == pytest.approx(0.95, abs=0.035)


def test_the_interval_is_that_of_student_where_errors_are_normal():
    first, second = rows(0.05)
    found = compare(first, second, IDS)
    reach = 1.972 * (second - first).std(ddof=1) / N**0.5
    assert found.high - found.difference == pytest.approx(reach, rel=0.1)
    assert found.difference - found.low == pytest.approx(reach, rel=0.1)


def test_the_smallest_difference_that_could_be_seen_is_seen_four_times_out_of_five():
    smallest = compare(*rows(seed=1), IDS).smallest_seen
    seen = [compare(*rows(smallest, seed=seed), IDS).found == Found.REGRESSION for seed in range(2, 102)]
    assert np.mean(seen) == pytest.approx(0.8, abs=0.12)


def test_unpaired_scatter_does_not_hide_what_every_example_shows():
    first = np.linspace(-3, 3, N)
    assert compare(first, first + 0.01, IDS).found == Found.REGRESSION


def test_only_the_domain_that_is_worse_is_told_apart():
    first, second = rows(0.0)
    second = second + np.where(np.array(DOMAIN_OF) == "code", 0.1, 0.0)
    code, poems = compare(first, second, IDS, DOMAIN_OF).domains
    assert (code.domain, poems.domain) == ("code", "poems")
    assert code.q is not None and poems.q is not None
    assert code.q < 0.01 < poems.q


def test_a_domain_of_few_examples_is_counted_and_not_tested():
    few = compare(*rows(0.1, n=8), IDS[:8], ["rare"] * 3 + ["code"] * 5).domains
    assert {one.domain: one.p is None for one in few} == {"rare": True, "code": False}


def test_the_same_seed_says_the_same():
    assert compare(*rows(0.02), IDS, DOMAIN_OF) == compare(*rows(0.02), IDS, DOMAIN_OF)


def test_false_discovery_rates_are_those_of_benjamini_and_hochberg():
    assert false_discovery_rates([0.01, 0.04, 0.03, 0.5]) == pytest.approx([0.04, 0.16 / 3, 0.16 / 3, 0.5])
    assert false_discovery_rates([]) == []


def test_the_floor_of_noise_is_passed_by_one_of_twenty_equal_examples():
    draws = np.random.default_rng(0)
    difference = 0.02 * draws.standard_normal(50_000) - 0.02 * draws.standard_normal(50_000)
    assert np.mean(np.abs(difference) > floor_of_noise(0.02)) == pytest.approx(0.05, abs=0.005)


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"second": np.zeros(3)}, WrongShape),
        ({"example_ids": IDS[:3]}, WrongShape),
        ({"domain_of": ["code"]}, WrongShape),
        ({"first": np.zeros(0), "second": np.zeros(0), "example_ids": []}, NothingObserved),
        ({"second": np.full(N, np.nan)}, NotFinite),
        ({"noise_floor": -0.1}, OutOfRange),
        ({"level": 1.0}, OutOfRange),
        ({"seed": -1}, OutOfRange),
    ],
)
def test_what_cannot_be_compared_is_refused(change, error):
    first, second = rows()
    with pytest.raises(error):
        compare(**{"first": first, "second": second, "example_ids": IDS, **change})
