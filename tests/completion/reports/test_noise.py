"""Noise of a cell: as repeats say, or bounded where nobody measured a task twice."""

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, Repeat, analyse
from forgetcast.completion.reports.json_ready import json_ready


def rows(rank, n_tasks, n_examples, noise, own=0.0, seed=0):
    """Low rank, noise, and as much as ``own`` of what is a task's alone and not noise."""
    draws = np.random.default_rng(seed)
    shared = 0.05 * draws.normal(size=(n_tasks, rank)) @ draws.normal(size=(rank, n_examples))
    cells = noise * draws.normal(size=(n_tasks, n_examples))
    return 0.1 + shared + cells + own * draws.normal(size=(n_tasks, n_examples))


def reached(found):
    return max(r2 for r2 in (*found.r2_by_rank, found.r2_additive, found.r2_multiplicative) if r2 is not None)


def test_noise_comes_from_tasks_that_were_measured_twice():
    draws, Z = np.random.default_rng(0), rows(2, 12, 2000, 0.0)
    repeats = [
        Repeat(f"task-{i}", Z[i] + 0.01 * draws.normal(size=2000), Z[i] + 0.01 * draws.normal(size=2000))
        for i in range(5)
    ]
    noise = analyse(ForgettingMatrix.from_arrays(Z), repeats).noise
    assert (noise.source, noise.at_most) == ("repeats", False)
    assert noise.cell_sd == pytest.approx(0.01, rel=0.05)
    assert noise.row_mean_sd is not None and noise.row_mean_sd < 0.001
    assert noise.r2_ceiling == pytest.approx(1 - 0.01**2 / Z.var(), rel=0.02)
    for task, repeat in zip(noise.repeats, repeats, strict=True):
        assert (task.task, task.n_cells) == (repeat.task_id, 2000)
        assert task.correlation == pytest.approx(np.corrcoef(repeat.first, repeat.second)[0, 1])


@pytest.mark.parametrize("noise", [0.003, 0.01, 0.05])
@pytest.mark.parametrize(
    ("rank", "n_tasks", "n_examples"), [(0, 40, 500), (2, 12, 60), (2, 40, 500), (8, 40, 300), (2, 100, 80)]
)
def test_without_repeats_a_known_noise_is_bounded_and_not_by_much(rank, n_tasks, n_examples, noise):
    found = analyse(ForgettingMatrix.from_arrays(rows(rank, n_tasks, n_examples, noise)))
    assert (found.noise.source, found.noise.at_most) == ("residuals", True)
    assert found.noise.cell_sd is not None
    assert 0.98 * noise < found.noise.cell_sd < 1.25 * noise  # 2%: that of the noise which happened to be drawn


@pytest.mark.parametrize("own", [0.02, 0.1])
def test_what_is_a_tasks_own_makes_the_bound_wide_and_never_wrong(own):
    """Without a second measurement nobody can tell it from noise; it is not called noise."""
    found = analyse(ForgettingMatrix.from_arrays(rows(2, 40, 500, noise=0.01, own=own)))
    assert found.noise.at_most and found.noise.cell_sd is not None
    assert found.noise.cell_sd > own


@pytest.mark.parametrize("missing", [0.0, 0.2])
@pytest.mark.parametrize("rank", [0, 1, 2, 5, 12])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.05])
def test_no_ceiling_is_below_an_r2_that_a_fit_has_reached(rank, noise, missing):
    Z = rows(rank, 20, 120, noise, own=0.01)
    Z[np.random.default_rng(1).random(Z.shape) < missing] = np.nan
    found = analyse(ForgettingMatrix.from_arrays(Z))
    assert found.noise.r2_ceiling is None or found.noise.r2_ceiling >= reached(found)


def test_a_ceiling_above_every_fit_is_said():
    found = analyse(ForgettingMatrix.from_arrays(rows(12, 40, 500, noise=0.01)))
    assert found.noise.r2_ceiling is not None
    assert reached(found) < found.noise.r2_ceiling < 1


def test_the_bound_is_that_of_the_regression_made_anew_without_each_column():
    Z = rows(2, 5, 30, noise=0.05)
    Y = (Z - Z.mean(axis=1, keepdims=True)) / Z.std(axis=1, keepdims=True)
    off = []
    for row in range(5):
        others, squares = np.delete(Y, row, axis=0), []
        for ridge in 30 * np.logspace(-4, 1, 11):
            errors = []
            for column in range(30):
                X, y = np.delete(others, column, axis=1), np.delete(Y[row], column)
                # Centred without the column, as a regression with an intercept is.
                Xc, yc = X - X.mean(axis=1, keepdims=True), y - y.mean()
                slope = np.linalg.solve(Xc @ Xc.T + ridge * np.eye(4), Xc @ yc)
                errors.append(Y[row, column] - y.mean() - slope @ (others[:, column] - X.mean(axis=1)))
            squares.append(np.mean(np.square(errors)))
        off.append(min(squares) ** 0.5 * Z[row].std())
    assert analyse(ForgettingMatrix.from_arrays(Z)).noise.cell_sd == pytest.approx(np.median(off), rel=1e-9)


def test_missing_cells_are_never_read_and_widen_the_bound_at_most_a_little():
    Z = rows(2, 30, 200, noise=0.01)
    observed = np.random.default_rng(2).random(Z.shape) > 0.15
    holes, poisoned = (
        analyse(ForgettingMatrix.from_arrays(np.where(observed, Z, other), observed=observed)).noise
        for other in (0.0, 1e300)
    )
    assert json_ready(holes) == json_ready(poisoned)
    assert holes.cell_sd is not None and 0.01 < holes.cell_sd < 0.05


@pytest.mark.parametrize("Z", [[[0.1, 0.2]], [[0.1], [0.2]], [[0.3]]])
def test_rows_of_a_cell_or_two_bound_nothing(Z):
    noise = analyse(ForgettingMatrix.from_arrays(Z)).noise
    assert (noise.cell_sd, noise.r2_ceiling) == (None, None)
