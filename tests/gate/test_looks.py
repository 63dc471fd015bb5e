"""What is measured before a task is judged again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from forgetcast.gate.judge import judge
from forgetcast.gate.looks import NextLook, next_look, sizes_of_looks
from forgetcast.gate.subject import RunVariance
from forgetcast.gate.verdict import JudgedObject, Result, Settling
from tests.gate.world import N_EXAMPLES, forecast_of, made_rows, mean_below, policy, subject

TRUTH = made_rows(1, seed=5)[0]
MEAN = float(TRUTH.mean())


@pytest.fixture(scope="module")
def open_verdict():
    found = judge(policy(mean_below(MEAN)), subject(forecast_of(TRUTH)))
    assert found.verdict == Result.INCONCLUSIVE
    return found


def settled(verdict, n_more, ids=(), *, at_random=False, **changes):
    settling = Settling(n_more, tuple(ids), at_random, "by design")
    return replace(verdict, assertions=(replace(verdict.assertions[0], settled_by=settling, **changes),))


@pytest.mark.parametrize(("n_more", "size"), [(1, 45), (20, 50), (50, 80), (10_000, 90)])
def test_as_many_are_measured_as_settle_it_within_bounds(open_verdict, n_more, size):
    assert next_look(settled(open_verdict, n_more), 30, 1000) == NextLook((), size, False)


def test_never_more_than_there_are(open_verdict):
    assert next_look(settled(open_verdict, 50), 30, 60) == NextLook((), 60, False)


def test_only_random_probes_where_only_these_count(open_verdict):
    found = next_look(settled(open_verdict, 30, at_random=True), 30, 1000)
    assert isinstance(found, NextLook) and found.at_random


def test_a_protected_set_is_measured_itself(open_verdict):
    found = next_look(settled(open_verdict, 2, ["a", "b"], metric="protected"), 30, 1000)
    assert found == NextLook(("a", "b"), 0, False)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"look": 5}, "5 looks are spent"),
        ({"verdict": Result.PASS}, "the verdict is pass"),
        ({"verdict": Result.ERROR}, "the verdict is error"),
    ],
)
def test_nothing_more_is_measured_when_that_is_over(open_verdict, change, said):
    found = next_look(replace(open_verdict, **change), 30, 1000)
    assert isinstance(found, str) and said in found


def test_nothing_more_is_measured_where_nothing_would_help(open_verdict):
    assert "every example" in str(next_look(open_verdict, N_EXAMPLES, N_EXAMPLES))
    recipe = judge(
        policy(mean_below(1)), subject(forecast_of(TRUTH), object=JudgedObject.RECIPE, runs=RunVariance(2, 0.01))
    )
    assert "known from 2 repeated tasks" in str(next_look(recipe, 30, 1000))


def test_what_only_warns_is_not_measured_for(open_verdict):
    passing = judge(policy(mean_below(1), mean_below(MEAN, severity="warn", name="low")), subject(forecast_of(TRUTH)))
    assert isinstance(next_look(passing, 30, 1000), str)


def test_sizes_of_looks_grow_by_half():
    assert sizes_of_looks(30, 5, 500) == [30, 45, 68, 102, 153]
    assert sizes_of_looks(30, 5, 60) == [30, 45, 60]
    assert sizes_of_looks(30, 1, 10) == [10]
