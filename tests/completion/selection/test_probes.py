import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forgetcast.completion import Design, design_probes, expected_error, random_probes
from forgetcast.completion.models.factor_model import FactorModel, fold_in
from forgetcast.completion.selection.probes import spread_probes
from forgetcast.errors import OutOfRange, TooManyExamplesAsked, UnknownMethod, WrongShape


@given(st.integers(1, 60), st.integers(0, 60), st.integers(0, 2**32))
def test_random_probes_are_distinct_eligible_and_nested(n_examples, size, seed):
    eligible = np.arange(n_examples) % 3 != 1
    size = min(size, int(eligible.sum()))
    probes = random_probes(n_examples, size, seed, eligible=eligible)
    assert len(set(probes.tolist())) == size
    assert eligible[probes].all()
    assert random_probes(n_examples, size // 2, seed, eligible=eligible).tolist() == probes[: size // 2].tolist()


def test_another_seed_gives_other_probes():
    assert random_probes(1000, 30, 0).tolist() != random_probes(1000, 30, 1).tolist()


def test_more_probes_than_eligible_examples_are_refused():
    with pytest.raises(TooManyExamplesAsked, match=r"5.*4"):
        random_probes(4, 5, 0)
    with pytest.raises(TooManyExamplesAsked):
        random_probes(4, 3, 0, eligible=np.array([True, True, False, False]))


def test_a_negative_seed_or_a_mask_of_another_length_is_refused():
    with pytest.raises(OutOfRange):
        random_probes(4, 1, -1)
    with pytest.raises(WrongShape):
        random_probes(4, 1, 0, eligible=np.ones(3, dtype=bool))


def model(n_examples=30, rank=3, seed=0):
    generator = np.random.default_rng(seed)
    return FactorModel(
        mean=generator.normal(size=n_examples),
        loadings=np.concatenate([np.full((1, n_examples), 0.5), generator.normal(size=(rank, n_examples))]),
        noise=generator.uniform(0.1, 2.0, n_examples),
    )


def variance_left(fitted, probes):
    """Summed variance of the cells outside the probes, the long way."""
    posterior = fold_in(fitted, probes, fitted.mean[probes])
    return float(posterior.variance.sum())


@pytest.mark.parametrize("design", list(Design))
@given(size=st.integers(0, 25), seed=st.integers(0, 100))
@settings(max_examples=20, deadline=None)
def test_designed_probes_are_distinct_eligible_and_nested(design, size, seed):
    eligible = np.arange(30) % 6 != 0
    found = design_probes(model(), size, design=design, seed=seed, eligible=eligible)
    assert len(set(found.positions.tolist())) == size
    assert eligible[found.positions].all()
    smaller = design_probes(model(), size // 2, design=design, seed=seed, eligible=eligible)
    assert smaller.positions.tolist() == found.positions[: size // 2].tolist()


def test_mixed_alternates_greedy_and_random_ones():
    assert design_probes(model(), 5).at_random.tolist() == [False, True, False, True, False]
    assert design_probes(model(), 5, design="random").at_random.all()
    assert not design_probes(model(), 5, design="optimal").at_random.any()


def test_random_design_is_random_probes_and_optimal_needs_no_seed():
    assert design_probes(model(), 9, design="random", seed=3).positions.tolist() == random_probes(30, 9, 3).tolist()
    first, second = (design_probes(model(), 9, design="optimal", seed=seed).positions.tolist() for seed in (0, 1))
    assert first == second


def test_the_first_greedy_probe_leaves_least_variance_in_the_others(monkeypatch):
    monkeypatch.setattr("forgetcast.completion.selection.probes.LOADING_DOUBT", 0.0)
    fitted = model()
    prior = np.sum(fitted.loadings**2, axis=0) + fitted.noise
    lowered = [prior.sum() - prior[j] - variance_left(fitted, np.array([j])) for j in range(30)]
    assert design_probes(fitted, 1, design="optimal").positions.tolist() == [int(np.argmax(lowered))]


def test_expected_error_is_the_root_mean_variance_of_the_cells_outside():
    fitted = model()
    probes = random_probes(30, 6, 0)
    found = expected_error(fitted, probes)
    for k in (0, 1, 3, 6):
        assert found[k] == pytest.approx(np.sqrt(variance_left(fitted, probes[:k]) / (30 - k)))


def test_expected_error_of_some_examples_counts_those_outside_alone():
    fitted, some = model(), np.arange(30) % 3 == 0
    probes = np.array([3, 4, 21])
    left = fold_in(fitted, probes, fitted.mean[probes]).variance[some].sum()
    assert expected_error(fitted, probes, importance=some * 2.0)[-1] == pytest.approx(np.sqrt(left / (some.sum() - 2)))


def test_what_is_measured_already_makes_no_probe_worthwhile(monkeypatch):
    """A direction whose only cells are measured is no reason to measure more of it."""
    monkeypatch.setattr("forgetcast.completion.selection.probes.LOADING_DOUBT", 0.0)
    loadings = np.zeros((2, 20))
    loadings[1] = 0.2
    loadings[0, :2] = 5.0
    fitted = FactorModel(np.zeros(20), loadings, np.full(20, 1.0))
    found = design_probes(fitted, 3, design="optimal").positions
    assert set(found[:2].tolist()) != {0, 1}


def test_after_many_greedy_probes_the_rest_is_random(monkeypatch):
    monkeypatch.setattr("forgetcast.completion.selection.probes.MOST_GREEDY", 2)
    for design, greedy in (("mixed", [0, 2]), ("optimal", [0, 1])):
        found = design_probes(model(), 20, design=design)
        assert np.flatnonzero(~found.at_random).tolist() == greedy
        assert len(set(found.positions.tolist())) == 20


@pytest.mark.parametrize("wrong", [np.full(30, -1.0), np.full(30, np.nan)])
def test_an_importance_that_is_no_weight_is_refused(wrong):
    with pytest.raises(OutOfRange):
        design_probes(model(), 3, importance=wrong)
    with pytest.raises(WrongShape):
        expected_error(model(), np.array([1]), importance=np.ones(3))


def test_greedy_probes_leave_less_variance_than_random_ones():
    fitted = model(n_examples=200)
    by_design = {str(d): variance_left(fitted, design_probes(fitted, 10, design=d).positions) for d in Design}
    assert by_design["optimal"] < by_design["mixed"] < by_design["random"]


def test_an_unimportant_domain_is_not_probed():
    fitted, first = model(), np.arange(30) < 15
    apart = np.concatenate([fitted.loadings * first, fitted.loadings * ~first])
    halves = FactorModel(fitted.mean, apart, fitted.noise)
    found = design_probes(halves, 4, design="optimal", importance=first.astype(float))
    assert first[found.positions].all()


def test_every_example_measured_leaves_no_error():
    assert expected_error(model(n_examples=5), np.arange(5))[-1] == 0.0


def test_an_unknown_design_is_refused_by_name():
    with pytest.raises(UnknownMethod, match="magic"):
        design_probes(model(), 3, design="magic")


@given(st.integers(1, 200), st.integers(0, 1000), st.data())
@settings(max_examples=60)
def test_probes_drawn_evenly_are_distinct_eligible_and_nested(n_examples, seed, data):
    generator = np.random.default_rng(seed)
    noise, eligible = generator.random(n_examples), generator.random(n_examples) < 0.7
    size = data.draw(st.integers(0, int(eligible.sum())))
    drawn = spread_probes(noise, size, seed, eligible=eligible)
    assert np.unique(drawn).size == drawn.size == size
    assert eligible[drawn].all()
    fewer = size // 2
    assert spread_probes(noise, fewer, seed, eligible=eligible).tolist() == drawn[:fewer].tolist()


def test_every_example_is_drawn_as_often_as_any_other_and_any_few_span_all_kinds():
    noise = np.random.default_rng(0).random(40)
    draws = np.array([spread_probes(noise, 8, seed) for seed in range(4000)])
    share = np.bincount(draws.ravel(), minlength=40) / 4000
    assert share == pytest.approx(np.full(40, 8 / 40), abs=0.03)
    rank = np.argsort(np.argsort(noise))
    for drawn in draws[:50]:
        assert np.diff(np.sort(rank[drawn])).max() <= 12
