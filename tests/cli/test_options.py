"""What the text of an option means."""

from __future__ import annotations

from datetime import timedelta

import click
import pytest

from forgetcast.cli.options import duration, rows


def test_rows_are_numbers_and_ranges_without_their_end():
    assert rows("0:5,7, 9") == [0, 1, 2, 3, 4, 7, 9]


@pytest.mark.parametrize("text", ["", "a", "1:", "-1", "1,,2", "1-3"])
def test_what_names_no_row_is_refused(text):
    with pytest.raises(click.BadParameter):
        rows(text)


def test_durations_carry_their_unit():
    assert duration("90s") == timedelta(seconds=90)
    assert duration("1.5h") == timedelta(minutes=90)


@pytest.mark.parametrize("text", ["90", "h", "-1s", "1w"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(click.BadParameter):
        duration(text)
