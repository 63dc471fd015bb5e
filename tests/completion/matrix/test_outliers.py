"""Cells and rows that are beyond belief, and those that only surprise."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.matrix.outliers import NAMED, find_outliers, outlier_warnings
from tests.completion.conftest import make_forgetting


def outliers_of(forgetting, **more):
    return find_outliers(ForgettingMatrix.from_arrays(forgetting, **more))


def test_rows_as_they_usually_are_hold_none():
    for seed in range(5):
        found = outliers_of(make_forgetting(20, 300, seed=seed))
        assert (found.cells, found.rows, found.n_cells, found.n_rows) == ((), (), 0, 0)


@pytest.mark.parametrize("value", [50.0, -50.0, 9_999.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_one_wild_cell_is_named_alone(value, dtype):
    forgetting = make_forgetting(20, 300).astype(dtype)
    forgetting[7, 123] = value
    found = outliers_of(forgetting)
    (cell,) = found.cells
    assert (cell.row, cell.column, cell.value, found.n_cells) == (7, 123, value, 1)
    assert cell.robust_sd * value > 0 and abs(cell.robust_sd) > 300
    assert found.rows == ()


def test_how_far_a_cell_lies_is_counted_in_sd():
    """Row and column effects apart, cells are Gaussian with sd 0.1 here, and one lies 100 of them out."""
    generator = np.random.default_rng(0)
    effects = generator.normal(size=(40, 1)) + 5 * generator.normal(size=2000)
    noise = 0.1 * generator.normal(size=(40, 2000))
    noise[3, 5] = 10.0
    (cell,) = outliers_of(effects + noise).cells
    assert (cell.row, cell.column) == (3, 5)
    assert 70 < cell.robust_sd < 115  # the column's own scatter, of 40 cells, may be the widest


def test_a_row_with_a_single_measured_cell_far_out_is_named():
    forgetting = make_forgetting(30, 500)
    forgetting[4] = np.nan
    forgetting[4, 17] = 3.0
    found = outliers_of(forgetting)
    (row,) = found.rows
    assert row.row == 4
    assert row.shift == pytest.approx(3.0, abs=0.3) and row.robust_sd > 25
    assert [(cell.row, cell.column) for cell in found.cells] == [(4, 17)]


def test_a_row_of_another_unit_is_named_as_a_row():
    forgetting = make_forgetting(20, 300)
    forgetting[2] *= 1000  # millinats
    found = outliers_of(forgetting)
    assert [row.row for row in found.rows] == [2]
    assert found.rows[0].spread > 100


def test_a_row_far_above_all_others_is_named():
    forgetting = make_forgetting(20, 300)
    forgetting[11] += 8.0
    (row,) = outliers_of(forgetting).rows
    assert row.row == 11 and row.robust_sd > 25 and row.spread < 5
    assert row.shift == pytest.approx(8.0, abs=0.2)


def test_a_column_that_varies_widely_and_a_task_that_forgets_much_are_none():
    generator = np.random.default_rng(3)
    forgetting = make_forgetting(40, 300)
    forgetting[:, 7] += 5 * generator.normal(size=40)
    forgetting[6] = 8 * forgetting[6]
    assert outliers_of(forgetting).n_cells == 0
    assert outliers_of(forgetting).n_rows == 0


def test_what_was_not_measured_is_not_looked_at():
    forgetting = make_forgetting(20, 300)
    observed = np.random.default_rng(0).random(forgetting.shape) < 0.7
    observed[:, :3] = True
    forgetting[~observed] = 1e300
    forgetting[5, 1] = 40.0
    found = outliers_of(forgetting, observed=observed)
    assert [(cell.row, cell.column) for cell in found.cells] == [(5, 1)]
    assert found.rows == ()


def test_a_wild_cell_of_a_column_that_nobody_else_measured_is_named():
    forgetting = make_forgetting(20, 300)
    forgetting[:, 9] = np.nan
    forgetting[5, 9] = 500.0
    assert [(cell.row, cell.column) for cell in outliers_of(forgetting).cells] == [(5, 9)]


def test_one_row_alone_can_be_asked_about():
    forgetting = make_forgetting(20, 300)
    forgetting[7, 123], forgetting[3, :40] = 50.0, 60.0
    matrix = ForgettingMatrix.from_arrays(forgetting)
    (cell,) = find_outliers(matrix, of_row=7).cells
    assert cell in find_outliers(matrix).cells or find_outliers(matrix).n_cells > NAMED
    assert (cell.row, cell.column) == (7, 123)
    assert find_outliers(matrix, of_row=8).n_cells == 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (2, 50), (3, 2), (50, 1)])
def test_the_smallest_matrices_have_none(shape):
    found = outliers_of(np.random.default_rng(0).normal(size=shape))
    assert (found.n_cells, found.n_rows) == (0, 0)


@pytest.mark.parametrize("constant", [0.0, 1.0, 1e-22])
def test_where_nothing_varies_what_varies_a_little_is_no_outlier(constant):
    forgetting = np.full((10, 40), constant)
    forgetting[3, 3] += 0.02
    assert outliers_of(forgetting).n_cells == 0
    forgetting[3, 3] += 1.0
    assert outliers_of(forgetting).n_cells == 1


def test_all_are_counted_and_the_most_surprising_named_first():
    forgetting = make_forgetting(60, 300)
    wild = 20.0 + np.arange(60)
    forgetting[np.arange(60), np.arange(60)] = wild
    found = outliers_of(forgetting)
    assert (found.n_cells, len(found.cells)) == (60, NAMED)
    distances = [abs(cell.robust_sd) for cell in found.cells]
    assert distances == sorted(distances, reverse=True)


def test_blocks_of_columns_say_what_the_whole_says(monkeypatch):
    forgetting = make_forgetting(12, 400)
    forgetting[::2, ::3] = np.nan
    forgetting[7, 301] = 77.0
    whole = outliers_of(forgetting)
    monkeypatch.setattr("forgetcast.completion.blocks.BLOCK_CELLS", 100)
    assert outliers_of(forgetting) == whole
    assert whole.n_cells == 1


def test_a_warning_says_which_task_which_example_which_value_and_how_many_sd():
    forgetting = make_forgetting(20, 300)
    forgetting[7, 123], forgetting[2] = 50.0, forgetting[2] + 9.0
    matrix = ForgettingMatrix.from_arrays(forgetting)
    (row, row_words), (cell, cell_words) = outlier_warnings(matrix, find_outliers(matrix))
    assert (row, cell) == ("task-2", "task-7")
    assert "'123'" in cell_words and "+50 nats" in cell_words and "robust sd" in cell_words
    assert "nats per token above its columns" in row_words
