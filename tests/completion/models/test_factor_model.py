import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.matrix.known_rows import known_rows
from forgetcast.completion.models.factor_model import (
    FactorModel,
    condition,
    fit_factor_model,
    fold_in,
)
from forgetcast.errors import NotFinite, RepeatedExample, UnknownExample, WrongShape


def small_model(n_examples=12, rank=3, seed=0):
    generator = np.random.default_rng(seed)
    return FactorModel(
        mean=generator.normal(size=n_examples),
        loadings=generator.normal(size=(rank + 1, n_examples)),
        noise=generator.uniform(0.1, 0.5, n_examples),
    )


def fitted(matrix, rank) -> FactorModel:
    return fit_factor_model(known_rows(matrix, rank), rank)


def dense_conditional(model, probes, values):
    """Mean and covariance of a Gaussian row given some cells, the long way: the oracle of fold_in."""
    covariance = model.loadings.T @ model.loadings + np.diag(model.noise)
    others = np.setdiff1d(np.arange(model.n_examples), probes)
    gain = covariance[np.ix_(others, probes)] @ np.linalg.inv(covariance[np.ix_(probes, probes)])
    mean = model.mean[others] + gain @ (values - model.mean[probes])
    return others, mean, covariance[np.ix_(others, others)] - gain @ covariance[np.ix_(probes, others)]


@given(st.integers(0, 12), st.integers(0, 1000))
@settings(max_examples=50)
def test_fold_in_is_gaussian_conditioning(n_probes, seed):
    model = small_model()
    generator = np.random.default_rng(seed)
    probes = generator.permutation(12)[:n_probes]
    values = generator.normal(size=n_probes)
    posterior = fold_in(model, probes, values)
    others, mean, covariance = dense_conditional(model, probes, values)
    assert posterior.mean[others] == pytest.approx(mean)
    assert posterior.variance[others] == pytest.approx(np.diag(covariance))
    assert posterior.mean[probes] == pytest.approx(values)
    assert (posterior.variance[probes] == 0).all()


def test_variance_of_an_average_counts_the_covariance_its_cells_share():
    model = small_model()
    probes, values = np.array([1, 5, 8]), np.array([0.2, -0.4, 1.0])
    _, mean, covariance = dense_conditional(model, probes, values)
    found_mean, variance = fold_in(model, probes, values).average(np.arange(12))
    assert found_mean == pytest.approx((mean.sum() + values.sum()) / 12)
    assert variance == pytest.approx(covariance.sum() / 144)


def test_what_is_left_out_is_folding_in_the_other_probes():
    model = small_model()
    probes = np.array([0, 3, 4, 7, 11])
    values = np.random.default_rng(1).normal(size=5)
    row = condition(model, probes, values)
    for i in range(5):
        rest = np.delete(np.arange(5), i)
        posterior = fold_in(model, probes[rest], values[rest])
        assert row.left_out[i] == pytest.approx(values[i] - posterior.mean[probes[i]])
        assert row.left_out_variance[i] == pytest.approx(posterior.variance[probes[i]])


def test_with_every_cell_observed_the_factors_are_those_of_the_svd(make_matrix):
    matrix = make_matrix(n_tasks=8, n_examples=30, rank=3)
    model = fitted(matrix, 3)
    centred = matrix.forgetting - matrix.forgetting.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    _, singular, right = np.linalg.svd(centred, full_matrices=False)
    expected = (right[:3].T * singular[:3] ** 2) @ right[:3] / 7
    assert model.loadings[1:].T @ model.loadings[1:] == pytest.approx(expected, abs=1e-12)
    assert model.mean == pytest.approx(matrix.forgetting.mean(axis=0))


def test_rank_zero_is_column_mean_plus_one_shift(make_matrix):
    matrix = make_matrix()
    model = fitted(matrix, 0)
    posterior = fold_in(model, np.array([2, 4]), np.array(model.mean[[2, 4]] + 0.1, dtype=float))
    others = np.setdiff1d(np.arange(20), [2, 4])
    shift = posterior.mean[others] - model.mean[others]
    assert np.ptp(shift) == pytest.approx(0, abs=1e-12)
    assert 0 < shift[0] < 0.1


def test_missing_cells_are_found_again_when_the_matrix_is_low_rank(make_matrix):
    whole = make_matrix(n_tasks=20, n_examples=80, rank=2, noise=1e-4)
    holes = make_matrix(n_tasks=20, n_examples=80, rank=2, noise=1e-4, missing=0.1)
    full = fitted(whole, 2)
    part = fitted(holes, 2)
    covariance, found = (model.loadings.T @ model.loadings for model in (full, part))
    assert np.linalg.norm(found - covariance) < 0.1 * np.linalg.norm(covariance)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e300])
def test_unobserved_entries_are_never_read(make_matrix, poison):
    matrix = make_matrix(missing=0.3)
    clean = fitted(matrix, 2)
    poisoned = np.where(matrix.observed, matrix.forgetting, poison)
    found = fitted(ForgettingMatrix.from_arrays(poisoned, observed=matrix.observed), 2)
    assert found.mean.tolist() == clean.mean.tolist()
    assert found.loadings.tolist() == clean.loadings.tolist()
    assert found.noise.tolist() == clean.noise.tolist()


def test_one_column_far_larger_than_the_rest_leaves_the_noise_of_the_others_alone(make_matrix):
    forgetting = make_matrix(n_tasks=10).forgetting.copy()
    before = fitted(ForgettingMatrix.from_arrays(forgetting), 0).noise
    forgetting[:, 3] = forgetting[:, 3] + 100 * np.random.default_rng(0).normal(size=10)
    after = fitted(ForgettingMatrix.from_arrays(forgetting), 1).noise
    assert (np.delete(after, 3) < 10 * np.delete(before, 3).max()).all()


@pytest.mark.parametrize(
    ("probes", "values", "error"),
    [
        ([12], [0.1], UnknownExample),
        ([-1], [0.1], UnknownExample),
        ([3, 3], [0.1, 0.1], RepeatedExample),
        ([3], [0.1, 0.2], WrongShape),
        ([3], [np.nan], NotFinite),
    ],
)
def test_probes_that_no_row_can_have_are_refused(probes, values, error):
    with pytest.raises(error):
        fold_in(small_model(), np.array(probes), np.array(values))
