import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.methods.blend import BLEND
from forgetcast.completion.methods.local import LOCAL
from forgetcast.completion.validation import choices
from forgetcast.completion.validation.choices import DOUBTS, NOISE_SHARES, USUAL_DOUBT, USUAL_NOISE_SHARE, choose
from tests.completion.conftest import make_forgetting


def test_clean_rows_get_a_smaller_noise_share_than_noisy_ones():
    clean, noisy = (
        choose(ForgettingMatrix.from_arrays(make_forgetting(20, 80, rank=2, noise=noise)), LOCAL, 0).noise_share
        for noise in (0.001, 0.08)
    )
    assert clean < noisy
    assert {clean, noisy} <= set(NOISE_SHARES)


@pytest.mark.parametrize("n_tasks", [1, 2, 3])
def test_too_few_rows_to_leave_out_keep_the_usual_choices(n_tasks):
    found = choose(ForgettingMatrix.from_arrays(make_forgetting(n_tasks, 20)), LOCAL, 0)
    assert (found.noise_share, found.doubt) == (USUAL_NOISE_SHARE, USUAL_DOUBT)


def test_loadings_learned_beside_noisy_domains_are_doubted():
    """A quiet column errs by what its loadings are off, and they are off by the noise of the loud ones."""
    generator = np.random.default_rng(0)
    noise = 0.03 * np.exp(np.linspace(np.log(0.1), np.log(10), 12))[np.arange(300) % 12]
    factors = 0.03 * generator.standard_normal((40, 4)) @ generator.standard_normal((4, 300))
    even, uneven = (
        choose(ForgettingMatrix.from_arrays(factors + sd * generator.standard_normal((40, 300))), BLEND, 0).doubt
        for sd in (0.001, noise)
    )
    assert uneven > 0
    assert even <= uneven
    assert set(DOUBTS) >= {0.0, USUAL_DOUBT}


def test_the_column_sample_of_a_wide_matrix_is_seeded(monkeypatch):
    monkeypatch.setattr(choices, "MOST_COLUMNS", 40)
    matrix = ForgettingMatrix.from_arrays(make_forgetting(8, 100))
    first, again, other = (choose(matrix, LOCAL, seed).calibration.location for seed in (0, 0, 1))
    assert first.tolist() == again.tolist()
    assert first.tolist() != other.tolist()
