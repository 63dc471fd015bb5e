import numpy as np
import pytest

from forgetcast.completion.uncertainty.row_scale import ScalePrior, row_scale

PRIOR = ScalePrior(location=0.0, spread=0.3, probe_ratio=1.0)


def scale_of(residuals, at_random=None, unlike=0.0, prior=PRIOR):
    residuals = np.asarray(residuals, dtype=float)
    mask = np.ones(residuals.size, dtype=bool) if at_random is None else np.asarray(at_random)
    return row_scale(prior, residuals, mask, unlike)


def test_without_probes_a_row_has_the_scale_of_those_before_it():
    found = scale_of([])
    assert found.typical == pytest.approx(1.0, abs=0.05)
    assert found.known.sum() == pytest.approx(1.0)
    assert found.unlike.sum() == 0.0


@pytest.mark.parametrize("scale", [0.3, 1.0, 3.0, 10.0])
def test_many_residuals_tell_the_scale_whatever_was_expected(scale):
    residuals = scale * np.random.default_rng(0).standard_t(6, 400) * (4 / 6) ** 0.5
    assert scale_of(residuals).typical == pytest.approx(scale, rel=0.1)


def test_one_wild_probe_among_many_moves_the_scale_little():
    calm = np.random.default_rng(1).standard_normal(30)
    wild = np.append(calm, 40.0)
    assert scale_of(wild).typical < 1.3 * scale_of(calm).typical


def test_few_probes_leave_a_wider_spread_of_scales_than_many():
    few, many = scale_of(np.full(2, 2.0)), scale_of(np.full(60, 2.0))

    def spread(found):
        logs = np.log(found.values)
        return float(found.known @ (logs - found.known @ logs) ** 2) ** 0.5

    assert spread(few) > 2 * spread(many)


def test_designed_probes_tell_the_scale_only_of_a_row_unlike_the_known_ones():
    residuals, at_random = [6.0] * 5 + [1.0] * 5, [False] * 5 + [True] * 5
    known, unlike = scale_of(residuals, at_random), scale_of(residuals, at_random, unlike=0.999)
    assert known.typical < 1.3
    assert unlike.typical > 3.0


def test_what_exceeds_the_usual_scale_is_shared_by_the_cells_of_an_average():
    found = scale_of(np.full(50, 4.0))
    plain, shared = found.of_average(1.0), found.of_average(3.0)
    assert plain.weights @ plain.values == pytest.approx(found.of_cells().weights @ found.of_cells().values)
    assert shared.weights @ shared.values > 2 * (plain.weights @ plain.values)
