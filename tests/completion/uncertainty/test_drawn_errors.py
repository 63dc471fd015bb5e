"""What left-out rows say of draws: how far to move them, and how wide to make them."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion.uncertainty.drawn_errors import (
    USUAL_LARGEST_WIDTH,
    USUAL_WIDTH,
    DrawnErrors,
    Scored,
    drawn_errors,
    usual_drawn_errors,
)


def learned(scores, n_groups=None, places=(0.5, 0.9), counts=(10, 100)) -> DrawnErrors:
    """The same rows whatever is asked; scores (rows, draws)."""
    rows = [Scored(place % (n_groups or len(scores)), tuple(of)) for place, of in enumerate(scores)]
    return drawn_errors(counts, places, lambda count, place: rows, lambda count: rows, lambda count: rows)


def normal(n_rows, sd=1.0, mean=0.0):
    return mean + sd * np.random.default_rng(3).standard_normal((n_rows, 4))


@pytest.mark.parametrize(("sd", "width"), [(2.0, 2.0), (1.5, 1.5), (0.3, 1.0)])
def test_the_width_is_the_scatter_of_truths_and_never_below_that_of_the_draws(sd, width):
    found = learned(normal(200, sd))
    assert found.of_tail(30, 0.8)[1] == pytest.approx(width, abs=0.12)
    assert found.of_part(30)[1] == pytest.approx(width, abs=0.12)
    assert found.of_largest(30)[1] == pytest.approx(width, abs=0.12)


def test_draws_that_lie_too_low_are_moved_up():
    shift, width = learned(normal(200, 1.2, mean=0.7)).of_tail(30, 0.8)
    assert shift == pytest.approx(0.7, abs=0.1)
    assert width == pytest.approx(1.2, abs=0.12)


def test_few_rows_say_little():
    """Two rows whose truths lie in the middle of their draws do not make a third one's tails known."""
    shift, width = learned(np.zeros((2, 4))).of_tail(30, 0.8)
    assert shift == 0.0
    assert width >= USUAL_WIDTH * 0.9


def test_rows_of_few_groups_say_less_than_as_many_of_many_groups():
    scores = normal(40, 1.5)
    assert learned(scores, n_groups=2).of_part(30)[1] > learned(scores).of_part(30)[1]


def test_without_rows_the_usual_width_is_taken():
    assert learned([]).of_tail(30, 0.9) == (0.0, USUAL_WIDTH)
    assert usual_drawn_errors().of_tail(30, 0.9) == (0.0, USUAL_WIDTH)
    assert usual_drawn_errors().of_part(0) == (0.0, USUAL_WIDTH)
    assert usual_drawn_errors().of_largest(1000) == (0.0, USUAL_LARGEST_WIDTH)


def test_one_wild_row_does_not_speak_for_all():
    scores = normal(40)
    scores[0] = 1e9
    assert learned(scores).of_part(30)[1] < 1.6


def test_numbers_of_probes_and_places_are_interpolated_and_the_ends_held():
    rows = {10: [Scored(k, (3.0, -3.0)) for k in range(50)], 100: [Scored(k, (2.0, -2.0)) for k in range(50)]}
    found = drawn_errors((10, 100), (0.5,), lambda count, _: rows[count], rows.__getitem__, rows.__getitem__)
    ends = found.of_part(10)[1], found.of_part(100)[1]
    assert ends[1] < found.of_part(30)[1] < ends[0]
    assert (found.of_part(1)[1], found.of_part(5000)[1]) == ends
    assert found.of_tail(10, 0.0) == found.of_tail(10, 1.0) == found.of_part(10)
