import numpy as np
import pytest
from forgetcast.completion.leave_out import NOISE_SHARES, USUAL_NOISE_SHARE, choose

from forgetcast.completion import ForgettingMatrix
from tests.completion.conftest import make_forgetting


def test_clean_rows_get_a_smaller_noise_share_than_noisy_ones():
    clean, noisy = (
        choose(ForgettingMatrix.from_arrays(make_forgetting(20, 80, rank=2, noise=noise)), "local", 0).noise_share
        for noise in (0.001, 0.08)
    )
    assert clean < noisy
    assert {clean, noisy} <= set(NOISE_SHARES)


@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_too_few_rows_to_leave_out_keep_the_usual_choices(n_tasks):
    choices = choose(ForgettingMatrix.from_arrays(make_forgetting(n_tasks, 20)), "local", 0)
    assert choices.noise_share == USUAL_NOISE_SHARE
    assert (choices.calibration.cell_ratio == 1).all()


def test_one_family_alone_leaves_nothing_to_leave_out_but_single_tasks():
    matrix = ForgettingMatrix.from_arrays(make_forgetting(8, 30), families=["only"] * 8)
    assert choose(matrix, "local", 0).noise_share in NOISE_SHARES


def test_families_of_near_twins_widen_the_intervals():
    """A task whose twin is known is forecast better than one of a new family, and new tasks may be of a new family."""
    generator = np.random.default_rng(0)
    kinds = np.repeat(make_forgetting(8, 60, rank=4), 3, axis=0)
    forgetting = kinds + 0.005 * generator.standard_normal(kinds.shape)
    families = [f"family-{i // 3}" for i in range(24)]
    alone = choose(ForgettingMatrix.from_arrays(forgetting), "factor", 0).calibration
    by_family = choose(ForgettingMatrix.from_arrays(forgetting, families=families), "factor", 0).calibration
    assert by_family.cell_half_width(0.9, 10) > alone.cell_half_width(0.9, 10)


def test_the_column_sample_of_a_wide_matrix_is_seeded(monkeypatch):
    monkeypatch.setattr("forgetcast.completion.leave_out.CHOICE_COLUMNS", 40)
    matrix = ForgettingMatrix.from_arrays(make_forgetting(8, 100))
    first, again, other = (choose(matrix, "local", seed).calibration.cell_ratio for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
