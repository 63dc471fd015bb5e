"""Which task is measured next: laws of the order, and what measured rows change about it."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion.selection.likeness import family_likeness, text_likeness
from forgetcast.completion.selection.seeding import correlation, expected_correlation, seed_order
from forgetcast.errors import OutOfRange, WrongShape

FAMILIES = ["a", "a", "a", "b", "b", "c"]
BY_FAMILY = family_likeness(FAMILIES)[None]


def test_every_task_comes_once_and_measured_ones_do_not_come_again():
    assert sorted(seed_order(BY_FAMILY)) == list(range(6))
    assert sorted(seed_order(BY_FAMILY, None, [4, 1])) == [0, 2, 3, 5]


def test_tasks_that_are_alike_are_not_measured_one_after_the_other():
    first = seed_order(BY_FAMILY)[:3]
    assert {FAMILIES[task] for task in first} == {"a", "b", "c"}


def test_the_largest_group_comes_first_for_its_row_tells_of_most():
    assert FAMILIES[seed_order(BY_FAMILY)[0]] == "a"


def test_what_is_being_measured_counts_as_measured():
    assert FAMILIES[seed_order(BY_FAMILY, None, [0])[0]] == "b"


def test_an_order_does_not_depend_on_the_scale_of_the_rows():
    rows = np.random.default_rng(0).normal(size=(3, 40))
    orders = [seed_order(BY_FAMILY, scale * rows, [0, 1, 3]) for scale in (1.0, 100.0)]
    assert orders[0] == orders[1]


def test_missing_cells_are_not_read():
    rows = np.random.default_rng(0).normal(size=(4, 40))
    rows[1, ::3] = np.nan
    assert np.isfinite(correlation(rows)).all()
    assert correlation(rows)[0, 2] == pytest.approx(correlation(rows).T[0, 2])


def test_a_likeness_that_measured_rows_deny_counts_for_less():
    """Rows are alike in the pairs that one kind says, and not in those of the other."""
    right, wrong = family_likeness(["x", "y", "x", "y", "z"]), family_likeness(["u", "u", "v", "v", "z"])
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 200))
    rows = np.stack([x, y, x, y]) + 0.1 * random.normal(size=(4, 200))
    before = expected_correlation(np.stack([right, wrong]), None, [])
    after = expected_correlation(np.stack([right, wrong]), rows, [0, 1, 2, 3])
    assert before[0, 2] == before[0, 1]
    assert after[0, 2] > after[0, 1] + 0.15


def test_texts_are_more_alike_than_others_when_they_share_words():
    code = [["def add(a, b): return a + b"], ["def sub(a, b): return a - b"]]
    poems = [["the rain falls softly on the mill"], ["softly on the river falls the night"]]
    likeness = text_likeness([*code, *poems])
    assert np.allclose(likeness, likeness.T) and np.allclose(np.diag(likeness), 1)
    assert likeness[0, 1] > likeness[0, 2] and likeness[2, 3] > likeness[1, 3]


def test_a_task_without_texts_is_unlike_all():
    likeness = text_likeness([["one two"], []])
    assert likeness.tolist() == [[1.0, 0.0], [0.0, 1.0]]


@pytest.mark.parametrize(
    ("likeness", "measured", "kind"),
    [(np.ones((2, 2)), [], WrongShape), (np.ones((1, 2, 3)), [], WrongShape), (BY_FAMILY, [6], OutOfRange)],
)
def test_what_is_no_likeness_is_refused(likeness, measured, kind):
    with pytest.raises(kind):
        seed_order(likeness, None, measured)
