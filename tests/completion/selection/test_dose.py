"""The dose curve, and what a draw keeps of a forecast's gain."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion.selection.dose import dose_curve, kept_gain
from forgetcast.completion.selection.replay import draw_replay_set, replay_weights
from forgetcast.errors import NotFinite, OutOfRange

MEAN = np.array([0.4, 0.1, -0.2, 0.3, 0.2, -0.1])


def test_a_dose_covers_its_share_of_what_is_forgotten():
    doses = dose_curve(MEAN, [1, 2, 4, 6, 7, 0])
    assert [dose.size for dose in doses] == [1, 2, 4, 6]
    assert [dose.covered for dose in doses] == pytest.approx([0.4, 0.7, 1.0, 1.0])
    assert [dose.marginal for dose in doses] == pytest.approx([0.4, 0.3, 0.15, -0.15])


def test_where_nothing_is_forgotten_nothing_is_covered():
    assert [dose.covered for dose in dose_curve(-np.abs(MEAN), [1, 6])] == [None, None]


def test_the_highest_keep_all_of_the_gain_and_an_even_draw_none():
    random = np.random.default_rng(0)
    mean, eligible = random.normal(0.1, 0.05, 2000), np.arange(2000)
    top = draw_replay_set(mean, 100, strategy="top").positions
    assert kept_gain(mean, top, eligible) == pytest.approx(1.0)
    kept = [draw_replay_set(mean, 100, strategy="uniform", seed=seed).positions for seed in range(30)]
    assert np.mean([kept_gain(mean, drawn, eligible) or 0.0 for drawn in kept]) == pytest.approx(0.0, abs=0.05)
    # A forecast in which little is forgotten is all but ignored at the paper's temperature.
    assert 0 < (kept_gain(mean, draw_replay_set(mean, 100, seed=1).positions, eligible) or 0.0) < 0.5
    assert kept_gain(np.ones(5), np.arange(2), np.arange(5)) is None


def test_weights_follow_the_forecasts_own_spread():
    mean = np.random.default_rng(0).normal(size=500)
    assert replay_weights(mean) == pytest.approx(replay_weights(mean * 0.01 + 3), rel=1e-6)
    assert replay_weights(mean, temperature=1e9) == pytest.approx(np.full(500, 1 / 500), rel=1e-6)
    assert replay_weights(np.ones(4)) == pytest.approx(np.full(4, 0.25))
    assert replay_weights(mean).sum() == pytest.approx(1.0) and replay_weights(mean).max() <= 0.02 + 1e-9
    with pytest.raises(NotFinite):
        replay_weights(np.array([np.nan]))
    with pytest.raises(OutOfRange):
        replay_weights(mean, temperature=0.0)
