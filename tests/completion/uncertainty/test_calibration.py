from statistics import NormalDist

import numpy as np
import pytest

from forgetcast.completion.uncertainty.calibration import (
    LEVELS,
    LeftOut,
    calibrate,
    gaussian_calibration,
    normal_quantile,
    row_scale,
    student_quantile,
    wider,
)


def left_out_rows(spread, n_rows=200, n_cells=300, seed=0):
    generator = np.random.default_rng(seed)
    cells = spread * generator.standard_normal((n_rows, n_cells))
    return [LeftOut(row, spread * generator.standard_normal(), 1.0) for row in cells]


def test_errors_twice_as_large_as_said_double_the_intervals():
    found = calibrate({0: left_out_rows(2.0)})
    assert found.cell_ratio[0] == pytest.approx(np.full(LEVELS.size, 2.0), rel=0.05)
    assert found.average_ratio[0] == pytest.approx(2.0, rel=0.15)


def test_heavy_tails_widen_high_levels_more_than_low_ones():
    generator = np.random.default_rng(0)
    rows = [LeftOut(generator.standard_t(2, 300), 0.0, 1.0) for _ in range(100)]
    ratio = calibrate({0: rows}).cell_ratio[0]
    assert ratio[-1] > 2 * ratio[0]


def test_few_left_out_rows_are_not_taken_at_their_word():
    few = calibrate({0: left_out_rows(1.0, n_rows=4)})
    many = calibrate({0: left_out_rows(1.0, n_rows=400)})
    assert few.cell_half_width(0.9, 0) > 1.2 * many.cell_half_width(0.9, 0)


def test_a_row_uses_the_ratios_of_the_largest_number_of_probes_it_has():
    found = calibrate({0: left_out_rows(3.0), 10: left_out_rows(2.0), 30: left_out_rows(1.0)})
    halves = [found.cell_half_width(0.9, n_probes) for n_probes in (0, 9, 10, 29, 30, 1000)]
    assert halves[0] == halves[1] > halves[2] == halves[3] > halves[4] == halves[5]


def test_rows_more_improbable_than_most_left_out_ones_are_unlike():
    rows = [LeftOut(np.ones(3), 0.0, float(i)) for i in range(101)]
    found = calibrate({0: rows, 10: rows})
    assert found.is_unlike(96.0, 10)
    assert not found.is_unlike(94.0, 10)
    assert not found.is_unlike(1e9, 0)


def test_the_wider_of_two_wins_figure_by_figure():
    narrow, wide = calibrate({0: left_out_rows(1.0)}), calibrate({0: left_out_rows(2.0)})
    assert wider(narrow, wide).cell_ratio.tolist() == wide.cell_ratio.tolist()
    assert wider(wide, narrow).average_ratio.tolist() == wide.average_ratio.tolist()


def test_row_scale_is_one_without_probes_and_moves_with_their_residuals():
    assert row_scale(np.zeros(0)) == 1.0
    assert row_scale(np.full(1000, 3.0)) == pytest.approx(3.0, rel=0.01)
    assert 1.0 < row_scale(np.array([3.0])) < 3.0


def test_the_models_own_gaussian_is_the_quantile_itself():
    assert gaussian_calibration().cell_half_width(0.9, 30) == pytest.approx(NormalDist().inv_cdf(0.95))


def test_student_quantiles_are_those_of_the_tables():
    for freedom, expected in ((10, 1.812), (30, 1.697), (1000, 1.646)):
        assert student_quantile(0.9, freedom) == pytest.approx(expected, abs=2e-3)
    assert student_quantile(0.9, 10**9) == pytest.approx(normal_quantile(0.9))
