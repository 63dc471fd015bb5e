import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize  # type: ignore[import-untyped]

from forgetcast.completion.exact_match.newton import Regressions, sigmoid


def some_regressions(n_features, seed, n=4, n_cells=25, weighted=False, scale=1.0):
    generator = np.random.default_rng(seed)
    return Regressions(
        features=scale * generator.normal(size=(n_cells, n_features)),
        lost=(generator.random((n, n_cells)) < 0.6).astype(float),
        weight=generator.random((n, n_cells)) if weighted else None,
        offset=generator.normal(size=n_cells),
        centre=generator.normal(size=n_features),
        ridge=generator.uniform(0.1, 2.0, n_features),
    )


def objective_of_one(regressions, place, beta):
    """f by its definition, a cell at a time."""
    total = 0.5 * float(np.sum(regressions.ridge * (beta - regressions.centre) ** 2))
    for cell in range(regressions.features.shape[0]):
        logit = float(regressions.features[cell] @ beta + regressions.offset[cell])
        chance = 1.0 / (1.0 + np.exp(-logit))
        happened = chance if regressions.lost[place, cell] == 1 else 1.0 - chance
        weight = 1.0 if regressions.weight is None else regressions.weight[place, cell]
        total -= weight * np.log(happened)
    return total


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("n_features", [1, 3, 6])
def test_newton_steps_end_where_a_slow_minimiser_does(n_features, weighted):
    regressions = some_regressions(n_features, seed=n_features, weighted=weighted)
    beta = regressions.minimum(np.zeros((4, n_features)))
    for place in range(4):
        slow = minimize(lambda b, place=place: objective_of_one(regressions, place, b), np.zeros(n_features), tol=1e-10)
        assert beta[place] == pytest.approx(slow.x, abs=1e-4)
        assert regressions.objective(beta)[place] == pytest.approx(slow.fun, rel=1e-9)


@given(st.integers(0, 500), st.floats(-30.0, 30.0))
def test_no_step_goes_uphill_from_however_bad_a_start(seed, start):
    regressions = some_regressions(2, seed, scale=3.0)
    beta = np.full((4, 2), start)
    for _ in range(12):
        before = regressions.objective(beta)
        beta = regressions.minimum(beta, steps=1)
        assert (regressions.objective(beta) <= before + 1e-9 * (1 + np.abs(before))).all()


def test_a_cell_of_no_weight_is_never_read():
    regressions = some_regressions(3, seed=2, weighted=True)
    regressions.weight[:, 7] = 0.0
    found = regressions.minimum(np.zeros((4, 3)))
    regressions.lost[:, 7] = 1.0 - regressions.lost[:, 7]
    assert (regressions.minimum(np.zeros((4, 3))) == found).all()


def test_no_logit_overflows():
    assert sigmoid(np.array([-1e6, 0.0, 1e6])).tolist() == [0.0, 0.5, 1.0]
