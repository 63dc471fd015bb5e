"""What the text of an option means."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from forgetcast.cli.options import duration, rows
from forgetcast.errors import OutOfRange


def test_rows_are_numbers_and_ranges_without_their_end():
    assert rows("0:5,7, 9").of(10) == [0, 1, 2, 3, 4, 7, 9]


def test_an_open_end_is_that_of_the_matrix():
    assert rows("2,7:").of(10) == [2, 7, 8, 9]
    assert rows(":2").of(10) == [0, 1]
    assert rows(":").of(3) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "a", "-1", "1,,2", "1-3", "3:3", "4:2", "1:2:3", "9" * 30])
def test_what_names_no_row_is_refused(text):
    with pytest.raises(click.BadParameter):
        rows(text)


@pytest.mark.parametrize("text", ["5", "0:6", "5:", "0:999999999"])
def test_rows_that_the_matrix_does_not_have_are_refused_by_their_range(text):
    with pytest.raises(OutOfRange, match=r"run from 0 to 4"):
        rows(text).of(5)


def test_durations_carry_their_unit():
    assert duration("90s") == timedelta(seconds=90)
    assert duration("1.5h") == timedelta(minutes=90)


@pytest.mark.parametrize("text", ["90", "h", "-1s", "1w"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(click.BadParameter):
        duration(text)
