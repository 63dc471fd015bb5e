import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.matrix.known_rows import known_rows
from forgetcast.completion.models.factor_model import fit_factor_model, fold_in
from forgetcast.completion.uncertainty.averages import Groups, average_errors, level_variance
from tests.completion.conftest import make_forgetting


def a_posterior(n_probes=4):
    forgetting = make_forgetting(12, 30, rank=2)
    model = fit_factor_model(known_rows(ForgettingMatrix.from_arrays(forgetting[:-1]), 2), 2)
    probes = np.arange(n_probes) * 7
    return fold_in(model, probes, forgetting[-1, probes])


def test_the_sd_of_an_average_is_that_of_the_joint_posterior():
    posterior = a_posterior()
    groups = [np.arange(5), np.arange(3, 20), np.arange(30)]
    errors = average_errors(posterior, Groups.of(groups), 0.0)
    expected = [posterior.average(positions)[1] ** 0.5 for positions in groups]
    assert errors.sd == pytest.approx(expected)


def test_the_whole_row_is_the_group_of_all():
    posterior = a_posterior()
    whole, listed = (
        average_errors(posterior, groups, 1e-4) for groups in (Groups.whole(30), Groups.of([np.arange(30)]))
    )
    assert whole.sd == pytest.approx(listed.sd)
    assert whole.shared_ratio == pytest.approx(listed.shared_ratio)


def test_a_group_that_was_measured_whole_has_no_error():
    posterior = a_posterior()
    errors = average_errors(posterior, Groups.of([np.array([0, 7]), np.arange(30)]), 1e-4)
    assert errors.sd[0] == 0.0
    assert errors.sd[1] > 0.0


def test_cells_that_share_a_pattern_err_together_more_than_cells_of_their_own():
    alike, apart = make_forgetting(12, 30, rank=0), make_forgetting(12, 30, rank=0)
    alike[:, :10] += 0.2 * np.random.default_rng(0).standard_normal((12, 1))
    ratios = []
    for forgetting in (alike, apart):
        model = fit_factor_model(known_rows(ForgettingMatrix.from_arrays(forgetting), 2), 2)
        posterior = fold_in(model, np.array([0, 15, 20]), forgetting[0, [0, 15, 20]])
        ratios.append(average_errors(posterior, Groups.of([np.arange(10)]), 0.0).shared_ratio[0])
    assert ratios[0] > 1.2 * ratios[1]


def test_random_probes_tell_the_level_the_better_the_more_there_are_and_the_less_they_lean_one_way():
    posterior = a_posterior()
    balanced = np.tile([0.01, -0.01], 8)
    few, many = level_variance(posterior, balanced[:2], 1.0), level_variance(posterior, balanced, 1.0)
    assert few > 4 * many
    assert level_variance(posterior, balanced + 0.1, 1.0) > many + 0.009
