import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, random_probes
from forgetcast.completion.matrix.known_rows import known_rows
from forgetcast.completion.models.factor_model import fit_factor_model
from forgetcast.completion.models.local_model import (
    LocalModel,
    _solve,
    bounded,
    combine,
    combine_at,
    combined,
    fit_local_model,
)
from tests.completion.conftest import make_forgetting

WHOLE = slice(None)


def fit_rows(forgetting, noise_share=0.8) -> LocalModel:
    rows = known_rows(ForgettingMatrix.from_arrays(forgetting), rank=0)
    return fit_local_model(rows, fit_factor_model(rows, rank=0), noise_share)


def local_mean(model, probes, values):
    return combined(model, combine(model, probes, values), WHOLE)


def clustered(n_per_cluster=8, n_examples=120, seed=0):
    """Two kinds of tasks whose rows have nothing in common but their mean; the last row is of the second kind."""
    generator = np.random.default_rng(seed)
    patterns = 0.1 * generator.standard_normal((2, n_examples))
    rows = np.repeat(patterns, [n_per_cluster, n_per_cluster + 1], axis=0)
    return rows + 0.01 * generator.standard_normal(rows.shape), patterns


def test_the_combination_of_known_rows_is_the_forecast():
    forgetting = make_forgetting(9, 40)
    model = fit_rows(forgetting[:-1])
    probes = random_probes(40, 10, 0)
    others = np.setdiff1d(np.arange(40), probes)
    combination = combine(model, probes, forgetting[-1, probes])
    smoothed = model.smoother @ (forgetting[:-1] - model.mean)
    written_out = model.mean + combination.rows @ smoothed + combination.constant
    written_out = written_out + combination.gain * (model.mean - model.mean.mean())
    assert combined(model, combination, WHOLE)[others] == pytest.approx(written_out[others])
    assert combined(model, combination, slice(7, 11)) == pytest.approx(written_out[7:11])


def test_only_probed_columns_decide_the_combination():
    """What the other columns of the known rows hold enters through M x M products, not through a second look."""
    forgetting = make_forgetting(9, 40)
    model = fit_rows(forgetting[:-1])
    probes = random_probes(40, 10, 0)
    values = forgetting[-1, probes]
    order = np.argsort(probes)
    first, second = combine(model, probes, values), combine(model, probes[order], values[order])
    assert first.rows == pytest.approx(second.rows)
    assert first.constant == pytest.approx(second.constant)


def test_a_new_row_follows_the_known_rows_of_its_own_kind():
    forgetting, patterns = clustered()
    probes = random_probes(120, 15, 0)
    others = np.setdiff1d(np.arange(120), probes)
    forecast = local_mean(fit_rows(forgetting[:-1]), probes, forgetting[-1, probes])[others]
    to_own, to_other = (np.sqrt(np.mean((forecast - pattern[others]) ** 2)) for pattern in patterns[::-1])
    assert to_own < 0.02
    assert to_other > 0.1


def test_without_probes_the_forecast_is_the_column_mean():
    forgetting = make_forgetting(9, 40)
    nothing = np.zeros(0, dtype=np.intp)
    assert local_mean(fit_rows(forgetting), nothing, np.zeros(0)) == pytest.approx(forgetting.mean(axis=0))


def test_a_row_met_before_is_nearly_recognised():
    forgetting, _ = clustered()
    probes = random_probes(120, 30, 0)
    others = np.setdiff1d(np.arange(120), probes)
    again = local_mean(fit_rows(forgetting), probes, forgetting[3, probes])
    assert np.sqrt(np.mean((again - forgetting[3])[others] ** 2)) < 0.015


def test_predictions_stay_near_what_a_column_was_ever_seen_to_do():
    forgetting = make_forgetting(9, 40)
    wild = np.where(np.arange(40) % 2 == 0, 50.0, -50.0)
    forecast = bounded(fit_rows(forgetting), wild, 0.1, WHOLE)
    widest = np.ptp(forgetting, axis=0) * 1.5 + 0.1
    assert (np.abs(forecast - forgetting.mean(axis=0)) <= widest + 0.2).all()
    assert bounded(fit_rows(forgetting), forgetting[0], 0.0, WHOLE) == pytest.approx(forgetting[0])


@pytest.mark.parametrize("n_probes", [5, 22, 23, 39])
def test_many_probes_are_conditioned_on_as_few_are(n_probes):
    """Beyond twice the number of known rows the system is solved the other way round."""
    forgetting = make_forgetting(9, 40)
    model = fit_rows(forgetting[:-1])
    probes = random_probes(40, n_probes, 0)
    factors = np.random.default_rng(0).normal(size=(10, n_probes))
    diagonal = np.linspace(0.5, 2, n_probes)
    target = forgetting[-1, probes]
    inverse = np.linalg.inv(factors.T @ factors + np.diag(diagonal))
    (solved,), (precision,) = _solve(factors[None], diagonal[None], target[None])
    assert solved == pytest.approx(inverse @ target)
    assert precision == pytest.approx(np.diag(inverse))
    assert np.isfinite(local_mean(model, probes, target)).all()


def test_several_noise_shares_at_once_are_the_same_one_by_one():
    forgetting = make_forgetting(12, 60, rank=2, noise=0.005)
    probes = random_probes(60, 20, 0)
    model, shares, target = fit_rows(forgetting[:-1]), np.array([0.1, 0.5, 0.9]), forgetting[-1, probes]
    for share, together in zip(shares, combine_at(model, probes, target, shares), strict=True):
        alone = combine(model.with_noise_share(share), probes, target)
        assert together.rows == pytest.approx(alone.rows)
        assert (together.gain, together.constant) == pytest.approx((alone.gain, alone.constant))
        assert together.left_out == pytest.approx(alone.left_out)


def test_more_noise_share_trusts_the_probes_less():
    forgetting = make_forgetting(12, 60, rank=2, noise=0.005)
    probes = random_probes(60, 20, 0)
    model = fit_rows(forgetting[:-1])
    errors = [
        np.mean((local_mean(model.with_noise_share(share), probes, forgetting[-1, probes]) - forgetting[-1]) ** 2)
        for share in (0.1, 0.9)
    ]
    assert errors[0] < errors[1]
