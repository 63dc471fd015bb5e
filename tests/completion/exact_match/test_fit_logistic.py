from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize  # type: ignore[import-untyped]

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.exact_match import fit_logistic
from forgetcast.completion.exact_match.fit_logistic import (
    Parts,
    Penalties,
    additive_parts,
    fit_model,
    fit_parts,
    lost_rows,
    objective,
    with_factors,
)
from forgetcast.completion.exact_match.logistic_model import condition, logits

PENALTIES = Penalties(columns=1.5, rows=0.8, factors=3.0)


def slow_minimum(rows, penalties, rank, seed):
    """The smallest f that a general minimiser finds from a random start: no alternation, no Newton step."""
    n_tasks, n_columns = rows.lost.shape
    seen = np.ones(rows.lost.shape) if rows.seen is None else rows.seen

    def unpacked(flat):
        ends = np.cumsum([1, n_columns, n_tasks, n_tasks * rank])
        centre, intercept, shift, scores, loadings = np.split(flat, ends)
        return centre, intercept, shift, scores.reshape(n_tasks, rank), loadings.reshape(n_columns, rank)

    def value_and_slope(flat):
        centre, c, s, a, b = unpacked(flat)
        x = c + s[:, None] + a @ b.T
        cells = np.logaddexp(0.0, x) - rows.lost * x
        value = float(np.sum(seen * cells)) + np.sum((c - centre) ** 2) / 2 / penalties.columns
        value += np.sum(s**2) / 2 / penalties.rows + penalties.factors / 2 * (np.sum(a**2) + np.sum(b**2))
        error = seen * (1 / (1 + np.exp(-x)) - rows.lost)
        slope = [
            -np.sum(c - centre, keepdims=True) / penalties.columns,
            error.sum(axis=0) + (c - centre) / penalties.columns,
            error.sum(axis=1) + s / penalties.rows,
            (error @ b + penalties.factors * a).ravel(),
            (error.T @ a + penalties.factors * b).ravel(),
        ]
        return value, np.concatenate(slope)

    size = 1 + n_columns + n_tasks + rank * (n_tasks + n_columns)
    start = 0.3 * np.random.default_rng(seed).normal(size=size)
    options = {"maxiter": 20_000, "maxfun": 40_000, "ftol": 1e-14, "gtol": 1e-8}
    found = minimize(value_and_slope, start, jac=True, method="L-BFGS-B", options=options)
    return found.fun, unpacked(found.x)


def start_of(rows, rank):
    n_tasks, n_columns = rows.lost.shape
    empty = Parts(0.0, np.zeros(n_columns), np.zeros(n_tasks), np.zeros((n_tasks, 0)), np.zeros((n_columns, 0)))
    return with_factors(rows, fit_parts(rows, empty, PENALTIES, enough=1e-12), rank)


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_the_additive_logit_is_the_one_a_slow_minimiser_finds(make_rows, missing):
    rows = make_rows(missing=missing)
    found = fit_parts(rows, start_of(rows, 0), PENALTIES, enough=1e-13)
    value, (centre, intercept, shift, _, _) = slow_minimum(rows, PENALTIES, 0, seed=1)
    assert objective(rows, found, PENALTIES) == pytest.approx(value, rel=1e-8)
    assert found.intercept == pytest.approx(intercept, abs=1e-3)
    assert found.shift == pytest.approx(shift, abs=1e-3)
    assert found.centre == pytest.approx(centre[0], abs=1e-3)


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize(("truth", "rank"), [(0, 2), (1, 3), (2, 4), (3, 5)])
def test_factors_are_as_good_as_the_best_that_a_slow_minimiser_finds(make_rows, truth, rank, missing):
    rows = make_rows(missing=missing, rank=truth, seed=truth, size=1.5)
    found = fit_parts(rows, start_of(rows, rank), PENALTIES, rounds=3000, enough=1e-12)
    slow = min(slow_minimum(rows, PENALTIES, rank, seed)[0] for seed in range(3))
    assert objective(rows, found, PENALTIES) <= slow * (1 + 1e-5)


def test_no_round_raises_the_objective(make_rows):
    rows = make_rows(missing=0.2, rank=3, size=2.0)
    parts, values = start_of(rows, 4), []
    for _ in range(30):
        parts = fit_parts(rows, parts, PENALTIES, rounds=1)
        values.append(objective(rows, parts, PENALTIES))
    assert (np.diff(values) <= 1e-9 * np.abs(values[:-1])).all()


def test_beyond_the_largest_singular_value_of_noise_no_factor_is_left(make_rows):
    rows = make_rows(n_tasks=40, n_examples=120, rank=0)
    parts, penalties = additive_parts(rows)
    penalties = replace(penalties, factors=rows.typical_lam)
    found = fit_parts(rows, with_factors(rows, parts, 5), penalties, enough=1e-10)
    assert np.linalg.norm(found.scores @ found.loadings.T) < 0.05 * np.linalg.norm(found.intercept)


def test_unobserved_cells_are_never_read(make_lost):
    lost, _ = make_lost()
    observed = np.random.default_rng(3).random(lost.shape) >= 0.3
    matrices = [
        ForgettingMatrix.from_arrays(np.where(observed, lost, other), observed=observed) for other in (np.nan, 7.0)
    ]
    first, second = (fit_model(matrix, 2, True, 0.5) for matrix in matrices)
    assert (first.intercept == second.intercept).all()
    assert (first.loadings == second.loadings).all()


def test_columns_that_rows_were_not_fitted_on_follow_them(make_lost, monkeypatch):
    lost, chance = make_lost(n_tasks=60, n_examples=400, rank=2, size=1.5, seed=4)
    matrix = ForgettingMatrix.from_arrays(lost[:-1])
    whole = fit_model(matrix, 3, True, 0.4)
    monkeypatch.setattr(fit_logistic, "MOST_COLUMNS", 200)
    widened = fit_model(matrix, 3, True, 0.4)
    probes = np.arange(0, 400, 8)
    told = [logits(model, condition(model, probes, lost[-1, probes])) for model in (whole, widened)]
    assert np.asarray(np.corrcoef(told))[0, 1] > 0.95
    assert widened.loadings.dtype == np.float32
    truth = np.log(chance[-1] / (1 - chance[-1]))
    assert np.corrcoef(told[1], truth)[0, 1] > 0.5


def test_the_prior_of_a_new_row_varies_as_the_known_rows_do(make_lost):
    lost, _ = make_lost(n_tasks=80, n_examples=200, rank=0, seed=5)
    model = fit_model(ForgettingMatrix.from_arrays(lost), 0, True, 1.0)
    assert model.loadings.shape == (1, 200)
    assert model.loadings == pytest.approx(np.full((1, 200), model.loadings[0, 0]))
    assert 0.7 < model.loadings[0, 0] < 1.3  # rows were made with shifts of sd 1


def test_a_model_without_a_row_shift_has_no_loadings(make_lost):
    lost, _ = make_lost()
    assert fit_model(ForgettingMatrix.from_arrays(lost), 0, False, 1.0).loadings.shape == (0, 60)


def test_columns_that_all_rows_lose_stay_finite(make_lost):
    lost, _ = make_lost()
    lost[:, :10], lost[:, 10:20], lost[0] = 1.0, 0.0, 1.0
    model = fit_model(ForgettingMatrix.from_arrays(lost), 3, True, 0.5)
    assert np.isfinite(model.intercept).all()
    assert np.isfinite(model.loadings).all()
    assert lost_rows(ForgettingMatrix.from_arrays(lost)).seen is None
