import numpy as np
import pytest

from forgetcast.completion.metrics import (
    binomial_interval,
    coverage,
    geometric_mean_interval,
    ranks,
    recall,
    rmse,
    spearman,
)


def test_a_perfect_forecast_scores_perfectly():
    truth = np.random.default_rng(0).normal(size=100)
    assert (rmse(truth, truth), recall(truth, truth), spearman(truth, truth)) == pytest.approx((0, 1, 1))


def test_ranks_of_ties_are_shared():
    assert ranks(np.array([3.0, 1.0, 3.0, 2.0])).tolist() == [2.5, 0.0, 2.5, 1.0]


def test_spearman_sees_order_only_and_is_zero_for_a_constant():
    truth = np.random.default_rng(0).normal(size=50)
    assert spearman(np.exp(truth), truth) == pytest.approx(1)
    assert spearman(-truth, truth) == pytest.approx(-1)
    assert spearman(np.ones(50), truth) == 0.0


def test_recall_counts_the_truly_highest_twentieth():
    truth = np.arange(100.0)
    forecast = np.where(truth >= 98, 1000.0, -truth)
    assert recall(forecast, truth) == pytest.approx(2 / 5)


def test_coverage_counts_ends_as_inside():
    zero = np.zeros(4)
    assert coverage(zero - 1, zero + 1, np.array([-1.0, 0.0, 1.0, 2.0])) == 0.75


def test_figures_without_cells_are_not_a_number():
    empty = np.zeros(0)
    assert all(np.isnan(score(empty, empty)) for score in (rmse, recall, spearman))


def test_geometric_mean_lies_in_its_interval():
    value, low, high = geometric_mean_interval(np.log(np.array([0.5, 0.8, 1.0, 0.7])), seed=0)
    assert low <= value <= high
    assert value == pytest.approx((0.5 * 0.8 * 0.7) ** 0.25)


def test_binomial_interval_is_clopper_and_pearsons():
    """Reference values: 90% interval of 18 in 20, and the two closed forms at the ends."""
    assert binomial_interval(18, 20) == pytest.approx((0.71738, 0.98193), abs=1e-4)
    assert binomial_interval(20, 20) == pytest.approx((0.05 ** (1 / 20), 1.0))
    assert binomial_interval(0, 20) == pytest.approx((0.0, 1 - 0.05 ** (1 / 20)))
