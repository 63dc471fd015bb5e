"""Rows drawn from the joint predictive."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.gate.cell_errors import normal_below
from forgetcast.gate.metrics import Metric, Question, value_of
from forgetcast.gate.row_draws import ROUND, RowDraws
from tests.gate.world import N_EXAMPLES, forecast_of, made_rows

EVERY = np.arange(N_EXAMPLES)


@pytest.fixture(scope="module")
def row():
    return forecast_of(made_rows(1, seed=5)[0])


def drawn(row, *questions, rounds=4, seed=3):
    draws = RowDraws(row, questions, seed)
    return np.concatenate([draws.more([True] * len(questions)) for _ in range(rounds)], axis=1)


def test_the_same_seed_draws_the_same_rows_and_another_seed_others(row):
    question = Question(Metric.QUANTILE, EVERY, 0.95)
    once, again, other = (drawn(row, question, seed=seed, rounds=1) for seed in (1, 1, 2))
    assert np.array_equal(once, again)
    assert not np.array_equal(once, other)


def test_more_draws_begin_with_the_fewer(row):
    question = Question(Metric.SHARE_ABOVE, EVERY, 0.1)
    assert np.array_equal(drawn(row, question, rounds=2)[:, :ROUND], drawn(row, question, rounds=1))


def test_the_mean_of_drawn_rows_has_the_interval_of_the_forecast(row):
    low, high = np.quantile(drawn(row, Question(Metric.MEAN, EVERY), rounds=16)[0], [0.05, 0.95])
    width = row.row_mean.high - row.row_mean.low
    assert low == pytest.approx(row.row_mean.low, abs=0.06 * width)
    assert high == pytest.approx(row.row_mean.high, abs=0.06 * width)


def test_the_mean_of_a_domain_has_its_interval(row):
    domain = np.arange(0, N_EXAMPLES, 3)
    expected = row.summary({"poems": domain})["poems"]
    low, high = np.quantile(drawn(row, Question(Metric.MEAN, domain), rounds=16)[0], [0.05, 0.95])
    assert [low, high] == pytest.approx([expected.low, expected.high], abs=0.06 * (expected.high - expected.low))


def test_a_single_cell_has_its_interval(row):
    cell = np.flatnonzero(~row.measured)[:1]
    low, high = np.quantile(drawn(row, Question(Metric.PROTECTED, cell), rounds=16)[0], [0.05, 0.95])
    expected = [row.low[cell[0]], row.high[cell[0]]]
    assert [low, high] == pytest.approx(expected, abs=0.06 * (expected[1] - expected[0]))


def test_a_quantile_of_drawn_rows_is_not_that_of_point_forecasts(row):
    """Noise is part of what is forgotten: a quantile of means lies too far in."""
    found = np.median(drawn(row, Question(Metric.QUANTILE, EVERY, 0.95))[0])
    assert found > np.quantile(row.mean, 0.95) + 0.005


def test_measured_cells_are_as_measured_in_every_draw(row):
    measured = np.flatnonzero(row.measured)
    for metric, parameter in ((Metric.MEAN, 0.0), (Metric.QUANTILE, 0.5), (Metric.SHARE_ABOVE, 0.05)):
        question = Question(metric, measured, parameter)
        assert drawn(row, question, rounds=1) == pytest.approx(value_of(question, row.mean[measured]), abs=1e-6)


def test_a_largest_cell_is_at_least_the_largest_measured_one(row):
    assert drawn(row, Question(Metric.PROTECTED, EVERY), rounds=1).min() >= row.mean[row.measured].max()


def test_a_count_is_its_share_of_the_examples(row):
    count, share = drawn(row, Question(Metric.COUNT_ABOVE, EVERY, 0.1), Question(Metric.SHARE_ABOVE, EVERY, 0.1))
    assert np.array_equal(count, np.round(share * N_EXAMPLES))


def test_a_quantile_is_at_most_a_limit_exactly_where_few_enough_lie_above_it(row):
    quantile, above = drawn(row, Question(Metric.QUANTILE, EVERY, 0.9), Question(Metric.SHARE_ABOVE, EVERY, 0.12))
    disagree = (quantile <= 0.12) != (above <= 0.1 + 1e-9)
    assert disagree.mean() < 0.002  # float32 at the limit itself


def test_settled_questions_are_not_drawn_further(row):
    draws = RowDraws(row, [Question(Metric.MEAN, EVERY), Question(Metric.QUANTILE, EVERY, 0.5)], 1)
    found = draws.more([True, False])
    assert np.isfinite(found[0]).all() and np.isnan(found[1]).all()


def test_metrics_cover_the_truth_as_often_as_they_say():
    """90% intervals of 120 rows and of five metrics; a share of 120 scatters by .03."""
    questions = [
        Question(Metric.MEAN, EVERY),
        Question(Metric.MEAN, EVERY[::3]),
        Question(Metric.QUANTILE, EVERY, 0.9),
        Question(Metric.SHARE_ABOVE, EVERY, 0.15),
        Question(Metric.PROTECTED, EVERY[5:25]),
    ]
    inside = []
    for seed, truth in enumerate(made_rows(120, seed=77)):
        found = drawn(forecast_of(truth, seed=seed), *questions, rounds=1, seed=seed)
        low, high = np.quantile(found, [0.05, 0.95], axis=1)
        values = np.array([value_of(question, truth[question.positions]) for question in questions])
        inside.append((values >= low - 1e-6) & (values <= high + 1e-6))
    assert np.all(np.mean(inside, axis=0) >= 0.83), np.mean(inside, axis=0)
    assert np.all(np.mean(inside, axis=0)[2:4] <= 0.99), np.mean(inside, axis=0)


def test_the_normal_distribution_is_read_to_seven_digits():
    from statistics import NormalDist

    values = np.array([-9.0, -2.57583, -0.3, 0.0, 1.0, 4.2])
    assert normal_below(values) == pytest.approx([NormalDist().cdf(value) for value in values], abs=1e-7)
