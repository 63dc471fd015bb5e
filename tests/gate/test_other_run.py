"""Verdicts on a recipe: what another run of it may forget, beside what this one did."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, Repeat, analyse
from forgetcast.gate.finished import finished_row
from forgetcast.gate.judge import judge
from forgetcast.gate.metrics import Metric, Question
from forgetcast.gate.other_run import OtherRun
from forgetcast.gate.row_draws import RowDraws
from forgetcast.gate.subject import RunVariance, chi_squares
from forgetcast.gate.verdict import JudgedObject, Result
from tests.gate.world import DOMAIN_OF, DOMAINS, IDS, N_EXAMPLES, made_rows, mean_below, policy, subject

EVERY = np.arange(N_EXAMPLES)
PARTS = [np.flatnonzero(np.array(DOMAIN_OF) == name) for name in DOMAINS]
ROW_SD, DOMAIN_SD, CELL_SD = 0.01, 0.02, 0.03
MANY = RunVariance(4000, ROW_SD, DOMAIN_SD, CELL_SD)


def two_runs(n_pairs, seed=0):
    """Pairs of runs whose noise is known."""
    world, repeats = np.random.default_rng(seed), []
    for number, row in enumerate(made_rows(n_pairs, seed=4)):
        runs = []
        for _ in range(2):
            run = row + ROW_SD * world.standard_normal() + CELL_SD * world.standard_normal(N_EXAMPLES)
            for part in PARTS:
                run[part] += DOMAIN_SD * world.standard_normal()
            runs.append(run)
        repeats.append(Repeat(f"task-{number}", runs[0], runs[1], EVERY))
    return repeats


def drawn(question, runs=MANY, truth=None):
    row = finished_row(made_rows(1, seed=5)[0] if truth is None else truth)
    return RowDraws(row, [question], 3, PARTS, OtherRun(row, runs, PARTS, 7)).more([True])[0]


def test_repeats_say_how_rows_domains_and_cells_of_two_runs_differ():
    matrix = ForgettingMatrix.from_arrays(made_rows(12, seed=1), domains=DOMAIN_OF)
    noise = analyse(matrix, two_runs(200)).noise
    assert noise.domain_mean_sd == pytest.approx(DOMAIN_SD, rel=0.1)
    whole = (ROW_SD**2 + DOMAIN_SD**2 / 3 + CELL_SD**2 / N_EXAMPLES) ** 0.5
    assert noise.row_mean_sd == pytest.approx(whole, rel=0.15)


def test_without_domains_or_positions_nothing_is_said_of_domains():
    matrix = ForgettingMatrix.from_arrays(made_rows(12, seed=1), domains=DOMAIN_OF)
    without = [Repeat(one.task_id, one.first, one.second) for one in two_runs(3)]
    assert analyse(matrix, without).noise.domain_mean_sd is None
    plain = ForgettingMatrix.from_arrays(made_rows(12, seed=1))
    assert analyse(plain, two_runs(3)).noise.domain_mean_sd is None


def test_means_of_another_run_lie_as_far_away_as_two_runs_do():
    row = drawn(Question(Metric.MEAN, EVERY))
    of_cells = 2 * CELL_SD**2
    expected = 2 * ROW_SD**2 + 2 * DOMAIN_SD**2 / 3 + of_cells / N_EXAMPLES
    assert row.std() == pytest.approx(expected**0.5, rel=0.1)
    domain = drawn(Question(Metric.MEAN, PARTS[0]))
    expected = 2 * ROW_SD**2 + 2 * DOMAIN_SD**2 + of_cells / PARTS[0].size
    assert domain.std() == pytest.approx(expected**0.5, rel=0.1)


def test_cells_of_another_run_scatter_as_those_of_this_one():
    """Noise laid upon noise would make every tail longer than any run's."""
    truth = made_rows(1, seed=5)[0] + CELL_SD * np.random.default_rng(1).standard_normal(N_EXAMPLES)
    runs = RunVariance(4000, 0.0, 0.0, CELL_SD)
    for q in (0.05, 0.95):
        found = drawn(Question(Metric.QUANTILE, EVERY, q), runs, truth)
        assert found.mean() == pytest.approx(np.quantile(truth, q), abs=0.012)
        assert found.std() > 0


def test_the_largest_of_a_set_may_be_larger_in_another_run():
    truth = made_rows(1, seed=5)[0]
    found = drawn(Question(Metric.PROTECTED, EVERY[:5]))
    assert found.min() < truth[:5].max() < found.max()


def test_what_is_known_from_few_pairs_is_believed_less():
    few, many = (np.quantile(drawn(Question(Metric.MEAN, EVERY), RunVariance(n, ROW_SD)), 0.99) for n in (8, 4000))
    assert few > many


@pytest.mark.parametrize(
    "assertion",
    [
        mean_below(0.9, domain="code"),
        {"metric": "quantile", "q": 0.9, "max": 0.9},
        {"metric": "share_above", "above": 0.9, "max": 0.5},
        {"metric": "count_above", "above": 0.9, "max": 200},
        {"metric": "protected", "ids": IDS[:4], "max": 0.9},
    ],
)
@pytest.mark.parametrize("finished", [True, False])
def test_every_assertion_on_a_recipe_can_pass_once_runs_are_known(assertion, finished):
    from tests.gate.world import forecast_of

    truth = made_rows(1, seed=5)[0]
    of = truth if finished else forecast_of(truth)
    known = RunVariance(8, 0.005, 0.005, 0.01)
    asked = {"object": JudgedObject.RECIPE}
    assert judge(policy(assertion), subject(of, runs=known, **asked)).verdict == Result.PASS
    said = judge(policy(assertion), subject(of, runs=RunVariance(8, 0.005), **asked))
    assert said.verdict == Result.INCONCLUSIVE
    assert "known of the row's mean alone" in said.assertions[0].reason


def test_the_verdict_says_how_runs_differ_and_how_surely():
    found = judge(policy(mean_below(1)), subject(made_rows(1, seed=5)[0], object=JudgedObject.RECIPE, runs=MANY))
    assert any("0.0100 (0.0098 to 0.0102, 90%), from 4000 repeated tasks" in note for note in found.notes)


@pytest.mark.parametrize(("rank", "expected"), [(-1.645, 2.733), (0.0, 7.344), (1.645, 15.507)])
def test_chi_squares(rank, expected):
    assert chi_squares(np.array([rank]), 8)[0] == pytest.approx(expected, rel=0.01)
