"""Verdicts: when a policy passes, fails, warns, stays open, or cannot be judged."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from forgetcast.gate.families import holm
from forgetcast.gate.judge import judge
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.subject import Baseline, QualityFigures, RunVariance
from forgetcast.gate.verdict import Basis, JudgedObject, Result
from tests.gate.world import DOMAIN_OF, IDS, N_EXAMPLES, fitted, forecast_of, made_rows, mean_below, policy, subject

TRUTH = made_rows(1, seed=5)[0]
MEAN = float(TRUTH.mean())


@pytest.fixture(scope="module")
def row():
    return forecast_of(TRUTH)


@pytest.mark.parametrize(
    ("limit", "result"), [(MEAN + 0.3, Result.PASS), (MEAN - 0.3, Result.FAIL), (MEAN, Result.INCONCLUSIVE)]
)
def test_the_interval_beside_the_limit_decides(row, limit, result):
    found = judge(policy(mean_below(limit)), subject(row))
    assert found.verdict == result
    assert (found.assertions[0].basis, found.n_draws >= 1000) == (Basis.FORECAST, True)


def test_the_same_question_has_the_same_answer(row):
    asked = policy(mean_below(0.05), {"metric": "quantile", "q": 0.95, "max": 0.2})
    assert judge(asked, subject(row)) == judge(asked, subject(row))


@pytest.mark.parametrize(
    "assertion",
    [
        mean_below(0),
        mean_below(0, domain="code"),
        {"metric": "quantile", "q": 0.9, "max": 0},
        {"metric": "share_above", "above": 0.1, "max": 0},
        {"metric": "count_above", "above": 0.1, "max": 0},
        {"metric": "protected", "ids": [IDS[3], IDS[70]], "max": 0},
    ],
)
@pytest.mark.parametrize("beyond", [True, False])
def test_a_finished_evaluation_is_judged_exactly(assertion, beyond):
    positions = np.array([3, 70]) if "ids" in assertion else np.arange(N_EXAMPLES)
    if "domain" in assertion:
        positions = np.flatnonzero(np.array(DOMAIN_OF) == assertion["domain"])
    question = Question(Metric(assertion["metric"]), positions, assertion.get("q") or assertion.get("above") or 0.0)
    value = value_of(question, TRUTH[positions])
    limit = value - 1e-6 if beyond else value
    if assertion["metric"] == "count_above":
        limit = value - 1 if beyond else value
    found = judge(policy({**assertion, "max": limit}), subject(TRUTH, quality=None, look=9))
    assert found.verdict == (Result.FAIL if beyond else Result.PASS)
    assert (found.n_draws, found.assertions[0].basis, found.assertions[0].low) == (0, Basis.MEASURED, value)


def test_every_domain_is_an_assertion_of_its_own(row):
    found = judge(policy(mean_below(1, domain="*")), subject(row))
    assert [one.domain for one in found.assertions] == ["poems", "code", "facts"]


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        (mean_below(1, domain="coed"), "did you mean 'code'?"),
        ({"metric": "protected", "ids": ["nobody"], "max": 1}, "no example 'nobody'"),
        ({"metric": "protected", "tags": ["safety"], "max": 1}, "tag 'safety'"),
        (mean_below(1, threshold=0.1), "no task was released"),
        ({"metric": "mean_forgetting", "domain": "*", "max": 1}, "no domains"),
    ],
)
def test_what_cannot_be_asked_is_an_error_even_where_it_only_warns(row, assertion, said):
    judged = subject(row, no_baseline="no task was released", domain_of=() if "no domains" in said else DOMAIN_OF)
    asked = policy(mean_below(1, name="fine"), {**assertion, "severity": "warn"}, baseline="auto")
    found = judge(asked, judged)
    assert found.verdict == Result.ERROR
    assert any(said in one.reason for one in found.assertions if one.result == Result.ERROR)


def test_versions_that_do_not_belong_together_are_an_error(row):
    found = judge(policy(mean_below(1)), subject(row, unfit=["stale: the fit is of version 3, the rows are of 4"]))
    assert (found.verdict, found.notes[0][:5]) == (Result.ERROR, "stale")


@pytest.mark.parametrize("limit", [-1.0, MEAN])
def test_an_assertion_that_warns_never_fails_and_never_lets_pass_what_it_does_not(row, limit):
    found = judge(policy(mean_below(1), mean_below(limit, severity="warn", name="low")), subject(row))
    assert found.verdict == Result.WARN


def test_what_is_off_is_not_asked(row):
    off = {"metric": "protected", "ids": ["nobody"], "max": 1, "severity": "off"}
    assert len(judge(policy(mean_below(1), off), subject(row)).assertions) == 1


@pytest.mark.parametrize(
    ("quality", "said"),
    [
        (None, "not back-tested"),
        (QualityFigures(0.7, 0.5), "held 0.70"),
        (QualityFigures(0.9, 1.2), "1.20 times"),
        (QualityFigures(0.9, None), "does not say"),
    ],
)
def test_below_min_quality_only_random_probes_count(row, quality, said):
    quantile = {"metric": "quantile", "q": 0.95, "max": 10}
    found = judge(policy(mean_below(1), quantile), subject(row, quality=quality))
    assert [one.result for one in found.assertions] == [Result.PASS, Result.INCONCLUSIVE]
    assert [one.basis for one in found.assertions] == [Basis.RANDOM_PROBES, Basis.NOTHING]
    assert said in found.notes[0]


@pytest.mark.parametrize("unlike", [True, None])
def test_a_row_that_is_not_like_the_known_ones_is_judged_by_random_probes_alone(row, unlike):
    share = {"metric": "share_above", "above": 5, "max": 0.9}
    protected = {"metric": "protected", "ids": IDS[:3], "max": 10}
    found = judge(policy(mean_below(1), share, protected), subject(replace(row, unlike_known=unlike)))
    assert [one.result for one in found.assertions] == [Result.PASS, Result.PASS, Result.INCONCLUSIVE]
    assert {one.basis for one in found.assertions[:2]} == {Basis.RANDOM_PROBES}


def test_looks_that_are_spent_leave_everything_open(row):
    found = judge(policy(mean_below(1), max_looks=2), subject(row, look=3))
    assert (found.verdict, "looks are spent" in found.assertions[0].reason) == (Result.INCONCLUSIVE, True)


def test_each_look_spends_its_share(row):
    once, often = (judge(policy(mean_below(0.05), max_looks=n), subject(row)) for n in (1, 10))
    assert once.error_probability == pytest.approx(0.025)
    assert often.error_probability == pytest.approx(0.0025)
    assert (often.assertions[0].high or 0) > (once.assertions[0].high or 0)


def test_a_measured_example_over_its_limit_fails_its_protected_set(row):
    worst = int(np.flatnonzero(row.measured)[np.argmax(row.mean[row.measured])])
    protected = {"metric": "protected", "ids": [IDS[worst], *IDS[:4]], "max": float(row.mean[worst]) - 0.01}
    found = judge(policy(protected), subject(row)).assertions[0]
    assert found.result == Result.FAIL
    assert (found.at_risk[0].measured, found.at_risk[0].probability_over) == (True, 1.0)


def test_an_open_protected_set_names_what_to_measure_the_likeliest_first(row):
    unmeasured = np.flatnonzero(~row.measured)[:40]
    limit = float(np.sort(row.high[unmeasured])[-3])
    protected = {"metric": "protected", "ids": [IDS[at] for at in unmeasured], "max": limit}
    found = judge(policy(protected), subject(row)).assertions[0]
    assert found.result == Result.INCONCLUSIVE and found.settled_by is not None
    chances = [row.probability_above(limit, np.array([IDS.index(name)]))[0] for name in found.settled_by.example_ids]
    assert chances == sorted(chances, reverse=True)
    assert 0 < (found.settled_by.n_more or 0) < 40


def test_what_is_said_to_settle_a_mean_settles_it_mostly():
    """Of rows that are open from ten probes, most are decided once the named examples are measured."""
    settled = []
    for seed, truth in enumerate(made_rows(30, seed=9)):
        row = forecast_of(truth, size=10, seed=seed)
        limit = float(row.row_mean.mean) + 0.02
        found = judge(policy(mean_below(limit), max_looks=1), subject(row)).assertions[0]
        if found.settled_by is None or (found.settled_by.n_more or 0) > 100:
            continue
        named = np.array([IDS.index(name) for name in found.settled_by.example_ids])
        probes = np.concatenate([np.flatnonzero(row.measured), named])
        again = subject(fitted().forecast(probes, truth[probes]))
        settled.append(judge(policy(mean_below(limit), max_looks=1), again).verdict != Result.INCONCLUSIVE)
    assert len(settled) >= 5
    assert np.mean(settled) >= 0.4


def test_a_recipe_is_open_until_repeats_say_how_runs_differ(row):
    asked = policy(mean_below(1))
    alone = judge(asked, subject(row, object=JudgedObject.RECIPE))
    few = judge(asked, subject(row, object=JudgedObject.RECIPE, runs=RunVariance(7, 0.01)))
    enough = judge(asked, subject(row, object=JudgedObject.RECIPE, runs=RunVariance(8, 0.01)))
    assert [one.verdict for one in (alone, few, enough)] == [Result.INCONCLUSIVE, Result.INCONCLUSIVE, Result.PASS]


def test_a_finished_run_of_a_recipe_is_no_finished_candidate():
    of_run = subject(TRUTH, object=JudgedObject.RECIPE, runs=RunVariance(8, 0.05))
    found = judge(policy(mean_below(MEAN + 0.01)), of_run)
    assert found.verdict == Result.INCONCLUSIVE
    only = found.assertions[0]
    assert only.low is not None and only.high is not None and only.low < MEAN < only.high


def test_a_baseline_measured_in_full_is_certain_and_the_difference_is_judged(row):
    asked = policy({"metric": "mean_forgetting", "threshold": 0.05}, baseline="released")
    from forgetcast.gate.finished import finished_row

    worse = Baseline("released", finished_row(TRUTH - 0.5))
    assert judge(asked, subject(row, baseline=worse)).verdict == Result.FAIL
    same = Baseline("released", finished_row(TRUTH + 0.5))
    assert judge(asked, subject(row, baseline=same)).verdict == Result.PASS
    assert judge(asked, subject(TRUTH, baseline=same)).assertions[0].value == pytest.approx(-0.5)


def test_a_first_release_needs_no_baseline(row):
    asked = policy(mean_below(1, threshold=0.01), baseline="auto")
    assert judge(asked, subject(row)).verdict == Result.ERROR
    assert judge(asked, subject(row, first_release=True)).verdict == Result.PASS


def test_holm_steps_down():
    assert holm([0.01, 0.04, 0.03], 0.05) == [True, False, False]
    assert holm([0.01, 0.02, 0.03], 0.05) == [True, True, True]
    assert holm([0.02], 0.05) == [True]
    assert holm([], 0.05) == []


def test_one_assertion_of_many_must_lie_further_over_its_limit_to_fail(row):
    """What fails alone may be one of many by chance."""
    alone = judge(policy(mean_below(MEAN - 0.3), max_looks=1), subject(row)).assertions[0]
    assert alone.low is not None
    edge = alone.low - 1e-4
    assert judge(policy(mean_below(edge), max_looks=1), subject(row)).verdict == Result.FAIL
    others = [mean_below(1, name=f"other {number}") for number in range(20)]
    among = judge(policy(mean_below(edge), *others, max_looks=1), subject(row))
    assert among.verdict == Result.INCONCLUSIVE
    assert "by chance" in among.assertions[0].reason
