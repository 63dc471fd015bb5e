import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import quad  # type: ignore[import-untyped]
from scipy.optimize import minimize  # type: ignore[import-untyped]

from forgetcast.completion.exact_match.logistic_model import LogisticModel, averaged, condition, logits
from forgetcast.completion.exact_match.newton import sigmoid
from forgetcast.errors import OutOfRange, RepeatedExample, UnknownExample, WrongKind, WrongShape


def small_model(n_examples=14, rank=3, seed=0):
    generator = np.random.default_rng(seed)
    return LogisticModel(generator.normal(size=n_examples), generator.normal(size=(rank + 1, n_examples)))


def minus_log_posterior(model, probes, lost, w):
    chance = 1.0 / (1.0 + np.exp(-(model.intercept[probes] + w @ model.loadings[:, probes])))
    return 0.5 * w @ w - np.sum(np.log(np.where(lost == 1, chance, 1.0 - chance)))


@given(st.integers(0, 14), st.integers(0, 4), st.integers(0, 1000))
@settings(max_examples=40)
def test_a_row_is_folded_in_where_a_slow_minimiser_ends(n_probes, rank, seed):
    model, generator = small_model(rank=rank), np.random.default_rng(seed)
    probes = generator.permutation(14)[:n_probes]
    lost = generator.integers(0, 2, n_probes).astype(float)
    slow = minimize(lambda w: minus_log_posterior(model, probes, lost, w), np.zeros(rank + 1), tol=1e-10)
    row = condition(model, probes, lost)
    assert row.w == pytest.approx(slow.x, abs=1e-4)


def test_the_covariance_is_laplaces():
    model, probes = small_model(), np.array([0, 2, 5, 9])
    row = condition(model, probes, np.array([1.0, 0.0, 1.0, 1.0]))
    step, identity = 1e-4, np.eye(4)

    def at(offset):
        return minus_log_posterior(model, probes, row.lost, row.w + offset)

    curvature = np.array(
        [
            [
                (at(step * (a + b)) - at(step * (a - b)) - at(step * (b - a)) + at(-step * (a + b))) / (4 * step**2)
                for b in identity
            ]
            for a in identity
        ]
    )
    assert row.root @ row.root.T == pytest.approx(np.linalg.inv(curvature), abs=1e-4)


def test_logits_are_averaged_over_what_is_unknown_of_the_row():
    model = small_model()
    row = condition(model, np.array([1, 4]), np.array([1.0, 0.0]))
    unknown = row.root.T @ model.loadings
    expected = averaged(model.intercept + row.w @ model.loadings, np.sum(unknown**2, axis=0))
    assert logits(model, row) == pytest.approx(expected)


@pytest.mark.parametrize(("logit", "variance"), [(0.0, 4.0), (1.5, 1.0), (-3.0, 2.0), (2.0, 9.0)])
def test_an_averaged_logit_is_close_to_the_integral(logit, variance):
    def weighed(x):
        return float(sigmoid(np.array(x))) * np.exp(-((x - logit) ** 2) / 2 / variance) / np.sqrt(2 * np.pi * variance)

    exact, _ = quad(weighed, logit - 12 * variance**0.5, logit + 12 * variance**0.5)
    assert float(sigmoid(averaged(np.array([logit]), np.array([variance])))[0]) == pytest.approx(exact, abs=0.02)


def test_a_probe_left_out_is_close_to_folding_in_the_others():
    model, generator = small_model(n_examples=60, rank=2), np.random.default_rng(2)
    probes = np.arange(0, 60, 2)
    lost = (generator.random(30) < sigmoid(model.intercept[probes])).astype(float)
    row = condition(model, probes, lost)
    for i in range(30):
        rest = np.delete(np.arange(30), i)
        others = logits(model, condition(model, probes[rest], lost[rest]))
        assert row.left_out[i] == pytest.approx(others[probes[i]], abs=0.25)


def test_without_loadings_a_row_is_its_columns():
    model = LogisticModel(np.array([0.5, -1.0, 2.0]), np.zeros((0, 3)))
    row = condition(model, np.array([1]), np.array([1.0]))
    assert logits(model, row).tolist() == [0.5, -1.0, 2.0]
    assert row.left_out.tolist() == [-1.0]


@pytest.mark.parametrize(
    ("probes", "lost", "error"),
    [
        ([0, 14], [1, 0], UnknownExample),
        ([3, 3], [1, 0], RepeatedExample),
        ([0, 1], [1], WrongShape),
        ([0, 1], [[1, 0]], WrongShape),
        ([0, 1], ["1", "0"], WrongKind),
        ([0.0, 1.0], [1, 0], WrongKind),
        ([0, 1], [1, 0.3], OutOfRange),
        ([0, 1], [1, -1], OutOfRange),
        ([0, 1], [1, np.nan], OutOfRange),
    ],
)
def test_wrong_probes_are_refused(probes, lost, error):
    with pytest.raises(error):
        condition(small_model(), np.array(probes), np.array(lost))


def test_what_was_wrong_with_a_cell_is_said():
    with pytest.raises(OutOfRange, match=r"position 9 has 0\.25; a cell is 1 \(lost\) or 0 \(kept\)"):
        condition(small_model(), np.array([2, 9]), np.array([1.0, 0.25]))
