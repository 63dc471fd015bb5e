"""Test vectors: literal numbers, the same under numpy 2.2, the lowest that is supported, and under the newest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import forgetcast.completion
from forgetcast.completion import draw_replay_set, random_probes
from forgetcast.completion.draws import Draws
from forgetcast.completion.selection.probes import spread_probes
from forgetcast.errors import OutOfRange, WrongKind


def test_words_are_those_of_pcg64():
    assert Draws(0).words(3).tolist() == [0xA30FEBCFD9C2825F, 0x4510BDF882D9D721, 0x0A7D3DA94ECDE8B8]


def test_uniform_numbers_are_the_highest_53_bits_of_a_word():
    assert Draws(0).uniforms(3).tolist() == [0.6369616873214543, 0.2697867137638703, 0.04097352393619469]


def test_integers_and_permutations_of_a_seed_are_these():
    assert Draws(7).integers(12, below=6).tolist() == [5, 1, 2, 0, 3, 2, 2, 2, 3, 4, 4, 4]
    assert Draws(1).beginning_of_permutation(10, 10).tolist() == [9, 2, 4, 7, 5, 0, 8, 6, 3, 1]
    first = [98885, 94206, 13390, 116769, 15176, 15571, 108890, 18066, 122243, 36334]
    assert Draws(1).beginning_of_permutation(141_816, 10).tolist() == first


def test_gumbel_and_normal_numbers_of_a_seed_are_these():
    """Up to rounding: a logarithm's last bit is the processor's."""
    gumbels = [1.193078928342598, 1.0369855687212575, -0.5207104087831307]
    normals = [-0.23363794496208967, 1.5372154353225056, -0.18183224965751066]
    assert Draws(2).gumbels(3) == pytest.approx(gumbels, rel=1e-12)
    assert Draws(2).normals(3) == pytest.approx(normals, rel=1e-12)


def test_probes_of_a_seed_are_these():
    assert random_probes(1000, 10, 0).tolist() == [855, 921, 269, 11, 850, 403, 600, 196, 608, 657]
    assert random_probes(20, 5, 3, eligible=np.arange(20) % 2 == 0).tolist() == [0, 8, 18, 14, 2]
    noise = np.arange(1000) % 7 / 10
    assert spread_probes(noise, 10, 0).tolist() == [452, 778, 111, 437, 763, 89, 415, 741, 67, 393]


def test_replay_sets_of_a_seed_are_these():
    mean = (np.arange(1000) % 97) / 97
    sampled = [968, 577, 965, 88, 958, 180, 460, 550, 540, 204]
    assert draw_replay_set(mean, 10, seed=5).positions.tolist() == sampled
    even = [31, 88, 112, 129, 204, 310, 540, 550, 811, 888]
    assert draw_replay_set(mean, 10, seed=5, strategy="uniform").positions.tolist() == even


@given(st.integers(1, 300), st.integers(0, 2**70), st.data())
def test_a_permutation_has_every_number_once_and_begins_with_the_smaller_draw(n, seed, data):
    whole = Draws(seed).beginning_of_permutation(n, n).tolist()
    assert sorted(whole) == list(range(n))
    size = data.draw(st.integers(0, n))
    assert Draws(seed).beginning_of_permutation(n, size).tolist() == whole[:size]


def test_equal_words_keep_the_order_of_their_positions(monkeypatch):
    words = np.array([5, 3, 5, 3, 9, 3], dtype=np.uint64)
    monkeypatch.setattr(Draws, "words", lambda self, n: words)
    assert Draws(0).beginning_of_permutation(6, 6).tolist() == [1, 3, 5, 0, 2, 4]
    assert Draws(0).beginning_of_permutation(6, 4).tolist() == [1, 3, 5, 0]


def test_every_order_of_four_is_as_likely_as_any_other():
    orders = [tuple(Draws(seed).beginning_of_permutation(4, 4).tolist()) for seed in range(6000)]
    counts = [orders.count(order) for order in set(orders)]
    assert len(counts) == 24
    assert np.sum((np.array(counts) - 250) ** 2 / 250) < 49.7  # chi-squared, 23 degrees of freedom, one in a thousand


@pytest.mark.parametrize("below", [1, 2, 3, 5, 8, 1000, 2**40 + 1])
def test_integers_are_even_over_their_range_and_none_is_folded(below):
    drawn = Draws(below).integers(20_000, below)
    assert drawn.min() >= 0 and drawn.max() < below
    parts = np.bincount((drawn * min(below, 10)) // below, minlength=min(below, 10))
    assert parts / 20_000 == pytest.approx(np.full(parts.size, 1 / parts.size), abs=0.012)


def test_a_draw_takes_no_more_words_than_it_needs():
    one_by_one, at_once = Draws(3), Draws(3)
    split = [int(one_by_one.integers(1, below=5)[0]) for _ in range(20)]
    assert split == at_once.integers(20, below=5).tolist()
    assert one_by_one.words(1) == at_once.words(1)


def test_normal_numbers_have_the_moments_of_the_normal():
    drawn = Draws(4).normals(200_000)
    assert [np.mean(drawn**power) for power in (1, 2, 3, 4)] == pytest.approx([0, 1, 0, 3], abs=0.05)


@pytest.mark.parametrize("seed", [-1, 1.0, True, "1", None, [1]])
def test_a_seed_that_is_no_whole_number_is_refused(seed):
    with pytest.raises((OutOfRange, WrongKind), match="seed"):
        Draws(seed)


def test_nothing_else_in_the_completion_draws():
    folder = Path(str(forgetcast.completion.__file__)).parent
    sources = {path.name: path.read_text() for path in folder.rglob("*.py")}
    assert [name for name, source in sources.items() if "np.random." in source] == ["draws.py"]
    assert not any("import random\n" in source or "default_rng" in source for source in sources.values())
