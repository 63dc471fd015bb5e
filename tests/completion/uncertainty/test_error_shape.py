import numpy as np
import pytest

from forgetcast.completion.uncertainty.error_shape import (
    PROBABILITIES,
    error_probability,
    error_quantile,
    shape_of,
    student_shape,
)
from forgetcast.completion.uncertainty.row_scale import Scales

ONE = Scales(np.ones(1), np.ones(1))


@pytest.mark.parametrize("probability", [0.001, 0.05, 0.3, 0.5, 0.9, 0.975, 0.999])
def test_at_one_scale_the_quantiles_are_those_of_the_shape(probability):
    expected = np.interp(probability, PROBABILITIES, student_shape())
    assert error_quantile(student_shape(), ONE, probability) == pytest.approx(expected, rel=0.03, abs=0.02)


def test_doubling_every_scale_doubles_every_quantile():
    two = Scales(np.array([2.0]), np.ones(1))
    for probability in (0.01, 0.2, 0.95, 0.998):
        once, twice = (error_quantile(student_shape(), scales, probability) for scales in (ONE, two))
        assert twice == pytest.approx(2 * once, rel=0.03)


def test_a_scale_that_is_uncertain_widens_the_tails_more_than_the_middle():
    sure, unsure = Scales(np.array([1.0]), np.ones(1)), Scales(np.array([0.5, 2.0]), np.array([0.5, 0.5]))
    ratio = [
        error_quantile(student_shape(), unsure, p) / error_quantile(student_shape(), sure, p)
        for p in (0.6, 0.95, 0.998)
    ]
    assert ratio[0] < ratio[1] < ratio[2]


def test_a_long_tail_on_one_side_stays_on_that_side():
    errors = [np.random.default_rng(seed).exponential(1.0, 500) - 1.0 for seed in range(40)]
    shape = shape_of(errors)
    assert error_quantile(shape, ONE, 0.95) == pytest.approx(2.0, abs=0.15)
    assert error_quantile(shape, ONE, 0.05) == pytest.approx(-0.95, abs=0.05)


def test_every_row_weighs_the_same_however_many_cells_it_has():
    wide, narrow = np.full(10_000, 5.0), np.linspace(-1, 1, 10)
    shape = shape_of([wide, narrow, narrow, narrow])
    assert np.interp(0.5, PROBABILITIES, shape) < 1.1


def test_beyond_what_rows_can_show_the_tail_is_at_least_students():
    shape = shape_of([np.random.default_rng(seed).uniform(-1, 1, 300) for seed in range(10)])
    assert np.interp(0.999, PROBABILITIES, shape) > 1.5
    assert (np.diff(shape) >= 0).all()


def test_without_left_out_rows_the_shape_is_students():
    assert shape_of([]).tolist() == student_shape().tolist()
    assert np.interp(0.95, PROBABILITIES, student_shape()) == pytest.approx(1.5866, abs=0.01)


def test_probabilities_are_the_inverse_of_quantiles():
    scales = Scales(np.array([0.5, 1.0, 4.0]), np.array([0.3, 0.5, 0.2]))
    for probability in (0.02, 0.4, 0.7, 0.99):
        error = error_quantile(student_shape(), scales, probability)
        assert error_probability(student_shape(), scales, np.array([error]))[0] == pytest.approx(probability, abs=0.01)
