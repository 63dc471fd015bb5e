"""What more rows are expected to bring, told from the rows there are."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.reports.rows_ahead import RowsAhead, rows_ahead
from forgetcast.errors import TooFewRows


def low_rank(n_tasks: int, *, families: bool, noise: float = 0.01) -> ForgettingMatrix:
    random = np.random.default_rng(2)
    rows = random.normal(size=(n_tasks, 2)) @ random.normal(size=(2, 60)) * 0.1
    names = [f"f{task // 2}" for task in range(n_tasks)] if families else None
    return ForgettingMatrix.from_arrays(
        rows + noise * random.normal(size=rows.shape), task_ids=[f"t{i}" for i in range(n_tasks)], families=names
    )


def test_the_error_falls_with_rows_and_never_faster_than_their_square_root():
    found = RowsAhead(n_rows=10, error=0.1, rel=0.6, left_out="tasks", slope=0.5)
    assert found.after(0) == 0.1
    assert found.after(30) == pytest.approx(0.05)


def test_families_are_left_out_where_they_are_known():
    assert rows_ahead(low_rank(8, families=True)).left_out == "families"
    assert rows_ahead(low_rank(8, families=False)).left_out == "tasks"


def test_rows_of_low_rank_are_forecast_better_than_by_their_mean_and_the_same_each_time():
    found, again = (rows_ahead(low_rank(10, families=False)) for _ in range(2))
    assert found == again
    assert found.rel < 0.7 and 0 <= found.slope <= 0.5 and found.after(5) <= found.error


@pytest.mark.parametrize("n_tasks", [1, 3])
def test_too_few_rows_say_how_many_are_needed(n_tasks):
    with pytest.raises(TooFewRows, match="4 known rows"):
        rows_ahead(low_rank(n_tasks, families=False))
