import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forgetcast.completion import Strategy, default_max_weight, draw_replay_set
from forgetcast.errors import NotFinite, OutOfRange, TooManyExamplesAsked, UnknownMethod, WrongShape

MEAN = np.random.default_rng(0).normal(0.1, 0.2, 200)
HELD_OUT_EXCLUDED = np.arange(200) % 4 != 0


@given(
    strategy=st.sampled_from(list(Strategy)),
    size=st.integers(0, 150),
    seed=st.integers(0, 2**40),
    temperature=st.sampled_from([1e-300, 1e-6, 0.1, 10.0, 1e300]),
    max_weight=st.sampled_from([None, 1.0, 0.1, 1e-4]),
)
def test_a_replay_set_is_distinct_eligible_and_finite(strategy, size, seed, temperature, max_weight):
    drawn = draw_replay_set(
        MEAN,
        size,
        eligible=HELD_OUT_EXCLUDED,
        strategy=strategy,
        seed=seed,
        temperature=temperature,
        max_weight=max_weight,
    )
    assert len(set(drawn.positions.tolist())) == size
    assert HELD_OUT_EXCLUDED[drawn.positions].all()
    assert np.isfinite(drawn.weights).all()
    assert (drawn.weights >= 0).all()
    assert 1 - 1e-9 <= drawn.effective_sample_size <= HELD_OUT_EXCLUDED.sum() + 1e-6


def test_held_out_examples_stay_out_even_when_they_are_the_most_forgotten():
    mean = np.where(HELD_OUT_EXCLUDED, MEAN, 1e6)
    for strategy in Strategy:
        assert HELD_OUT_EXCLUDED[
            draw_replay_set(mean, 150, eligible=HELD_OUT_EXCLUDED, strategy=strategy).positions
        ].all()


def test_top_takes_the_highest_forecasts_in_order():
    drawn = draw_replay_set(MEAN, 10, strategy="top")
    assert drawn.positions.tolist() == np.argsort(-MEAN)[:10].tolist()


def test_sampling_at_a_tiny_temperature_is_top_and_at_a_huge_one_uniform():
    assert draw_replay_set(MEAN, 10, temperature=1e-12).positions[0] == int(np.argmax(MEAN))
    assert draw_replay_set(MEAN, 10, temperature=1e12).effective_sample_size == pytest.approx(200)


def test_single_draws_follow_the_softmax():
    mean = np.log(np.array([1.0, 2.0, 3.0, 4.0]))
    first = [int(draw_replay_set(mean, 1, temperature=1.0, seed=seed).positions[0]) for seed in range(4000)]
    assert np.bincount(first, minlength=4) / 4000 == pytest.approx([0.1, 0.2, 0.3, 0.4], abs=0.03)


def test_same_seed_same_set_and_another_seed_another():
    def draw(seed):
        return draw_replay_set(MEAN, 20, seed=seed).positions.tolist()

    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


def test_a_constant_added_to_the_forecast_changes_nothing():
    shifted = draw_replay_set(MEAN + 100.0, 20)
    assert shifted.positions.tolist() == draw_replay_set(MEAN, 20).positions.tolist()
    assert shifted.weights == pytest.approx(draw_replay_set(MEAN, 20).weights)


def test_weights_of_all_examples_sum_to_one_and_none_exceeds_the_largest():
    outlier = MEAN.copy()
    outlier[7] = 50.0
    alone = draw_replay_set(outlier, 200)
    assert alone.effective_sample_size == pytest.approx(1.0)
    shared = draw_replay_set(outlier, 200, max_weight=0.05)
    assert shared.weights.sum() == pytest.approx(1.0)
    assert shared.weights.max() == pytest.approx(0.05)
    assert shared.effective_sample_size > 20
    assert draw_replay_set(outlier, 200, max_weight=1e-6).weights == pytest.approx(np.full(200, 1 / 200))


@given(
    strategy=st.sampled_from(list(Strategy)),
    sizes=st.tuples(st.integers(12, 150), st.integers(12, 150)),
    seed=st.integers(0, 2**40),
    minimum=st.integers(0, 4),
    max_weight=st.sampled_from([None, 0.02]),
)
def test_a_larger_set_contains_the_smaller(strategy, sizes, seed, minimum, max_weight):
    domains = [("rare", "common", "usual")[min(i % 50, 2)] for i in range(200)]
    small, large = (
        draw_replay_set(
            MEAN,
            size,
            eligible=HELD_OUT_EXCLUDED,
            strategy=strategy,
            seed=seed,
            domains=domains,
            min_per_domain=minimum,
            max_weight=max_weight,
        )
        for size in sorted(sizes)
    )
    assert set(small.positions.tolist()) <= set(large.positions.tolist())


def test_the_default_cap_leaves_many_in_effect_and_does_not_touch_an_even_share():
    assert default_max_weight(141_816) == 0.01
    assert default_max_weight(500) == 0.02
    assert default_max_weight(5) == 1.0
    outlier = np.append(MEAN, 50.0)
    drawn = draw_replay_set(outlier, 201, max_weight=default_max_weight(201))
    assert drawn.n_capped == (drawn.weights > 0.999 * 10 / 201).sum()
    assert drawn.weights.max() == pytest.approx(10 / 201)
    assert drawn.effective_sample_size > 20


def test_every_domain_gets_its_minimum_or_all_it_has():
    domains = ["rare"] * 3 + ["common"] * 197
    drawn = draw_replay_set(np.where(np.arange(200) < 3, -10.0, MEAN), 20, domains=domains, min_per_domain=5)
    assert (drawn.positions < 3).sum() == 3
    assert drawn.positions.size == 20


def test_minima_that_do_not_fit_are_refused():
    with pytest.raises(TooManyExamplesAsked):
        draw_replay_set(MEAN, 5, domains=[f"domain-{i % 3}" for i in range(200)], min_per_domain=2)


def test_more_than_is_eligible_is_refused():
    with pytest.raises(TooManyExamplesAsked, match="150"):
        draw_replay_set(MEAN, 151, eligible=HELD_OUT_EXCLUDED)


@pytest.mark.parametrize(
    "wrong",
    [
        {"temperature": 0.0},
        {"temperature": np.nan},
        {"max_weight": 0.0},
        {"max_weight": 1.5},
        {"seed": -1},
        {"min_per_domain": 1},
    ],
)
def test_numbers_out_of_range_are_refused(wrong):
    with pytest.raises(OutOfRange):
        draw_replay_set(MEAN, 5, **wrong)


def test_an_unknown_strategy_and_a_forecast_that_is_no_row_of_numbers_are_refused():
    with pytest.raises(UnknownMethod, match="best"):
        draw_replay_set(MEAN, 5, strategy="best")
    with pytest.raises(WrongShape):
        draw_replay_set(MEAN.reshape(10, 20), 5)
    with pytest.raises(NotFinite):
        draw_replay_set(np.append(MEAN, np.nan), 5)
