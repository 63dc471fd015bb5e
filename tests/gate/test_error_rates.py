"""How often a verdict is wrong: made rows, the limit at the truth itself, where a verdict that is one is a wrong one.

At level 0.8 and one look an assertion may be wrong on either side for one row in ten; shares of 80 rows scatter by
.034.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from forgetcast.gate.judge import judge
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.verdict import Result
from tests.gate.world import IDS, N_EXAMPLES, forecast_of, made_rows, policy, subject

N_ROWS = 80
EVERY = np.arange(N_EXAMPLES)
METRICS: dict[str, tuple[dict[str, Any], Question]] = {
    "mean": ({"metric": "mean_forgetting"}, Question(Metric.MEAN, EVERY)),
    "p90": ({"metric": "quantile", "q": 0.9}, Question(Metric.QUANTILE, EVERY, 0.9)),
    "share": ({"metric": "share_above", "above": 0.12}, Question(Metric.SHARE_ABOVE, EVERY, 0.12)),
    "protected": ({"metric": "protected", "ids": IDS[:20]}, Question(Metric.PROTECTED, EVERY[:20])),
}


@pytest.fixture(scope="module")
def rows():
    return [(truth, forecast_of(truth, seed=seed)) for seed, truth in enumerate(made_rows(N_ROWS, seed=123))]


def rate(results, result):
    return sum(found == result for found in results) / len(results)


@pytest.mark.parametrize("name", METRICS)
def test_at_the_truth_verdicts_are_wrong_no_more_often_than_they_may_be(rows, name):
    assertion, question = METRICS[name]
    passed, failed = [], []
    for truth, row in rows:
        value = value_of(question, truth[question.positions])
        step = 1.0 / N_EXAMPLES if question.metric == Metric.SHARE_ABOVE else 1e-6
        if row.unlike_known:
            continue
        on_it, under_it = max(value, 0.0) if name == "share" else value, value - step
        failed.append(judge(policy({**assertion, "max": on_it}, level=0.8, max_looks=1), subject(row)).verdict)
        if name != "share" or under_it >= 0:
            asked = policy({**assertion, "max": under_it}, level=0.8, max_looks=1)
            passed.append(judge(asked, subject(row)).verdict)
    assert rate(failed, Result.FAIL) <= 0.1 + 0.07, rate(failed, Result.FAIL)
    assert rate(passed, Result.PASS) <= 0.1 + 0.07, rate(passed, Result.PASS)
    assert rate(failed, Result.INCONCLUSIVE) >= 0.6


def test_away_from_the_truth_most_verdicts_are_conclusive_and_right(rows):
    right = []
    for truth, row in rows:
        if row.unlike_known:
            continue
        for away, expected in ((0.05, Result.PASS), (-0.05, Result.FAIL)):
            asked = policy({"metric": "mean_forgetting", "max": float(truth.mean()) + away})
            right.append(judge(asked, subject(row)).verdict == expected)
    assert np.mean(right) >= 0.7, np.mean(right)


def test_any_of_several_true_assertions_fails_no_more_often_than_one_may(rows):
    """Four limits at the truth at once: without Holm's steps one of them would fail twice as often."""
    failed = []
    for truth, row in rows:
        if row.unlike_known:
            continue
        limits = [
            {**METRICS[name][0], "max": value_of(METRICS[name][1], truth[METRICS[name][1].positions])}
            for name in METRICS
        ]
        failed.append(judge(policy(*limits, level=0.8, max_looks=1), subject(row)).verdict)
    assert rate(failed, Result.FAIL) <= 0.1 + 0.05, rate(failed, Result.FAIL)


def test_looks_together_are_wrong_no_more_often_than_one_verdict_may_be():
    """Twenty probes, then thirty, forty, fifty, sixty; the first conclusive answer is taken."""
    wrong = []
    for seed, truth in enumerate(made_rows(40, seed=321)):
        limit = float(truth.mean())
        verdicts = []
        for look, size in enumerate((20, 30, 40, 50, 60), 1):
            row = forecast_of(truth, size=size, seed=seed)
            asked = policy({"metric": "mean_forgetting", "max": limit}, level=0.8)
            verdicts.append(judge(asked, subject(row, look=look)).verdict)
        wrong.append(Result.FAIL in verdicts or Result.PASS in verdicts)
    assert np.mean(wrong) <= 0.2 + 0.1, np.mean(wrong)
