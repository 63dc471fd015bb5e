import numpy as np
import pytest

from forgetcast.completion.exact_match.calibration import (
    PROBE_COUNTS,
    LeftOutLogits,
    calibrate,
    usual_calibration,
)
from forgetcast.completion.exact_match.newton import sigmoid


def rows_told(slope, shift, n_rows=200, n_probes=10, seed=0):
    """Rows whose cells come true at sigmoid(shift + slope x logit)."""
    generator = np.random.default_rng(seed)
    rows = []
    for _ in range(n_rows):
        logits = 2.0 * generator.normal(size=100)
        lost = (generator.random(100) < sigmoid(shift + slope * logits)).astype(float)
        rows.append(LeftOutLogits(n_probes, logits, lost))
    return rows


@pytest.mark.parametrize(("slope", "shift"), [(1.0, 0.0), (0.5, 0.4), (1.5, -0.3)])
def test_logits_that_are_told_too_boldly_or_too_low_are_set_right(slope, shift):
    calibration = calibrate(rows_told(slope, shift))
    told = calibration(np.array([-1.0, 0.0, 2.0]), 10)
    assert told == pytest.approx(shift + slope * np.array([-1.0, 0.0, 2.0]), abs=0.1)


def test_between_two_numbers_of_probes_it_lies_between():
    calibration = calibrate([*rows_told(0.5, 0.0, n_probes=3), *rows_told(1.5, 0.0, n_probes=10)])
    low, middle, high = (float(calibration(np.array([1.0]), count)[0]) for count in (3, 6, 10))
    assert low < middle < high


def test_a_few_rows_are_not_believed_more_than_they_tell():
    boldly = calibrate(rows_told(1.0, 3.0, n_rows=1)).shift[PROBE_COUNTS.index(10)]
    assert 0.3 < boldly < 2.7


def test_a_ranking_is_never_turned_round():
    assert (calibrate(rows_told(-1.0, 0.0)).slope > 0).all()


def test_without_rows_nothing_changes():
    logits = np.array([-3.0, 0.5])
    assert calibrate([])(logits, 7) == pytest.approx(logits)
    assert usual_calibration()(logits, 1000) == pytest.approx(logits)
