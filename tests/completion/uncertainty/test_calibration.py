"""What is learned from left-out rows: by rows whose errors are made to measure."""

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.methods.blend import BLEND
from forgetcast.completion.uncertainty.calibration import NO_BAR, usual_calibration
from forgetcast.completion.uncertainty.error_shape import PROBABILITIES
from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES
from forgetcast.completion.validation.choices import choose
from tests.completion.conftest import make_forgetting


def calibration_of(forgetting, families=None):
    return choose(ForgettingMatrix.from_arrays(forgetting, families=families), BLEND, 0).calibration


def near_twins(n_kinds=8, of_each=3, noise=0.005, n_examples=60, seed=0):
    """Rows of a few kinds, and the kind of each as its family."""
    kinds = np.repeat(make_forgetting(n_kinds, n_examples, rank=4, seed=seed), of_each, axis=0)
    rows = kinds + noise * np.random.default_rng(seed).standard_normal(kinds.shape)
    return rows, [f"family-{row // of_each}" for row in range(len(rows))]


def test_families_of_near_twins_make_rows_err_more():
    """A task whose twin is known is forecast better than one of a new family, and new tasks may be of a new family."""
    rows, families = near_twins()
    alone, by_family = calibration_of(rows), calibration_of(rows, families)
    assert by_family.expected(10, 1.0).prior.location > alone.expected(10, 1.0).prior.location + 0.2


def test_rows_that_differ_in_size_leave_a_new_rows_scale_more_open():
    alike = make_forgetting(24, 80, rank=2)
    sizes = np.exp(np.random.default_rng(0).normal(0, 0.8, (24, 1)))
    mean = alike.mean(axis=0)
    assert calibration_of(mean + sizes * (alike - mean)).spread > 1.5 * calibration_of(alike).spread


def test_between_the_numbers_of_probes_that_were_tried_figures_lie_between():
    found = calibration_of(make_forgetting(20, 120, rank=3))
    locations = [found.expected(n_probes, 1.0).prior.location for n_probes in (10, 17, 30)]
    assert min(locations[0], locations[2]) <= locations[1] <= max(locations[0], locations[2])
    beyond = [found.expected(n_probes, 0.5).prior.location for n_probes in (100, 10_000)]
    assert beyond[0] == pytest.approx(beyond[1], abs=0.2)


@pytest.mark.parametrize("n_probes", range(0, FEWEST_PROBES))
def test_fewer_than_three_probes_cannot_say_whether_a_row_is_like_the_known_ones(n_probes):
    errors = calibration_of(make_forgetting(12, 60)).expected(n_probes, 1.0)
    assert errors.is_unlike(1e6) is None
    assert errors.probability_unlike(1e6) == 0.0


def test_the_bar_is_where_a_row_is_as_likely_unlike_the_known_ones_as_like_them():
    errors = calibration_of(make_forgetting(20, 120, rank=3)).expected(10, 1.0)
    assert errors.unlike_bar is not None
    assert errors.probability_unlike(errors.unlike_bar) == pytest.approx(0.5)
    assert errors.is_unlike(errors.unlike_bar + 1e-6)
    assert not errors.is_unlike(errors.unlike_bar)
    assert errors.probability_unlike(errors.unlike_bar - 50) < 1e-6


@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_too_few_rows_to_leave_out_get_what_is_usual_and_no_flag(n_tasks):
    found = calibration_of(make_forgetting(n_tasks, 40))
    assert found.cell_shape.tolist() == usual_calibration().cell_shape.tolist()
    assert (found.unlike_bar == NO_BAR).all()
    assert not found.expected(30, 1.0).is_unlike(1e6)


def test_the_fewer_rows_are_known_the_wider_the_mean_of_a_row():
    ratios = [usual_calibration(n_tasks).expected(30, 1.0).row_shape[-10] for n_tasks in (1, 2, 3)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[0] > 1.1 * ratios[2]


def test_one_family_alone_is_left_out_task_by_task():
    rows, _ = near_twins()
    alone = calibration_of(rows)
    assert calibration_of(rows, ["only"] * len(rows)).location.tolist() == alone.location.tolist()


def test_shapes_rise_and_have_the_middle_near_zero():
    found = calibration_of(make_forgetting(20, 120, rank=3))
    for shape in (found.cell_shape, found.top_shape):
        assert (np.diff(shape) >= 0).all()
        assert abs(np.interp(0.5, PROBABILITIES, shape)) < 0.5
