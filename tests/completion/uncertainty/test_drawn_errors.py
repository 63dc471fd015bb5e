"""What left-out rows say of draws: how far to move them, and how wide to make them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forgetcast.completion.uncertainty.drawn_errors import (
    USUAL,
    DrawnErrors,
    Kind,
    Scored,
    drawn_errors,
    usual_drawn_errors,
)

ALL_KINDS = tuple(Kind)


def learned(scores, n_groups=None, places=(0.5, 0.9), counts=(10, 100)) -> DrawnErrors:
    """The same rows whatever is asked; scores (rows, draws)."""
    rows = [Scored(place % (n_groups or len(scores)), tuple(of)) for place, of in enumerate(scores)]
    asked = [(kind, count, place) for kind in Kind for count in counts for place in (*places, 0.0)]
    return drawn_errors(counts, places, dict.fromkeys(asked, rows))


def normal(n_rows, sd=1.0, mean=0.0):
    return mean + sd * np.random.default_rng(3).standard_normal((n_rows, 4))


@pytest.mark.parametrize(("sd", "width"), [(2.0, 2.0), (1.5, 1.5), (0.3, 1.0)])
@pytest.mark.parametrize("kind", ALL_KINDS)
def test_the_width_is_the_scatter_of_truths_and_never_below_that_of_the_draws(kind, sd, width):
    assert learned(normal(200, sd)).of(kind, 30, 0.8).width == pytest.approx(width, abs=0.12)


def test_draws_that_lie_too_low_are_moved_up():
    found = learned(normal(200, 1.2, mean=0.7)).of(Kind.TAIL, 30, 0.8)
    assert found.shift == pytest.approx(0.7, abs=0.1)
    assert found.width == pytest.approx(1.2, abs=0.12)
    assert learned(normal(200, 1.2, mean=0.7)).of(Kind.ROW_MEAN, 30).shift == 0.0


def test_a_long_tail_on_one_side_is_seen_on_that_side():
    scores = np.abs(normal(400))
    scores[::26] *= 6
    scores[1::2] *= -1
    found = learned(scores).of(Kind.PART_MEAN, 30)
    assert found.upper > 1.1 > found.lower


def test_normal_scores_have_no_long_tail():
    found = learned(normal(400)).of(Kind.PART_MEAN, 30)
    assert [found.lower, found.upper] == pytest.approx([1.0, 1.0], abs=0.1)


@pytest.mark.parametrize("kind", ALL_KINDS)
def test_few_rows_say_little(kind):
    """Two rows whose truths lie in the middle of their draws do not make a third one's tails known."""
    found = learned(np.zeros((2, 4))).of(kind, 30, 0.8)
    assert found.shift == 0.0
    assert found.width >= min(1.0, 0.8 * USUAL[kind].width)
    assert found.upper >= 1.0


def test_rows_of_few_groups_say_less_than_as_many_of_many_groups():
    scores = normal(40, 1.5)
    assert learned(scores, n_groups=2).of(Kind.PART, 30).width > learned(scores).of(Kind.PART, 30).width


@pytest.mark.parametrize("kind", ALL_KINDS)
@pytest.mark.parametrize("n_probes", [0, 30, 1000])
def test_without_rows_the_usual_width_is_taken(kind, n_probes):
    assert usual_drawn_errors().of(kind, n_probes, 0.9) == USUAL[kind]
    assert learned([]).of(kind, n_probes, 0.9) == USUAL[kind]


def test_one_wild_row_does_not_speak_for_all():
    scores = normal(40)
    scores[0] = 1e9
    assert learned(scores).of(Kind.PART, 30).width < 2.0


def test_numbers_of_probes_and_places_are_interpolated_and_the_ends_held():
    rows = {10: [Scored(k, (3.0, -3.0)) for k in range(50)], 100: [Scored(k, (2.0, -2.0)) for k in range(50)]}
    scores = {(kind, count, place): of for kind in Kind for count, of in rows.items() for place in (0.0, 0.5)}
    found = drawn_errors((10, 100), (0.5,), scores)
    ends = found.of(Kind.PART, 10).width, found.of(Kind.PART, 100).width
    assert ends[1] < found.of(Kind.PART, 30).width < ends[0]
    assert (found.of(Kind.PART, 1).width, found.of(Kind.PART, 5000).width) == ends
    assert found.of(Kind.TAIL, 10, 0.0) == found.of(Kind.TAIL, 10, 1.0)


def test_what_is_written_as_json_comes_back():
    there = learned(normal(6, sd=1.4, mean=0.3))
    here = DrawnErrors.from_json(json.loads(json.dumps(there.to_json(), allow_nan=False)))
    asked = [(kind, n_probes) for kind in Kind for n_probes in (5, 30, 200)]
    assert [here.of(*one, 0.9) for one in asked] == [there.of(*one, 0.9) for one in asked]
