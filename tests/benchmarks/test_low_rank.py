import numpy as np
import pytest

from benchmarks.low_rank import additive, first_above, held_out_error, multiplicative, r2_of_rank, significance
from benchmarks.low_rank import without_means as centred


def made(n_factors, seed=0, row_noise=1.0):
    """Sum of effects, factors and noise of sd 1 or of each row's own; 30 x 120."""
    generator = np.random.default_rng(seed)
    cells = 3.0 * generator.normal(size=(30, 1)) + 2.0 * generator.normal(size=(1, 120))
    cells = cells + 2.0 * generator.normal(size=(30, n_factors)) @ generator.normal(size=(n_factors, 120))
    return cells + row_noise * generator.normal(size=(30, 120))


def n_significant(cells):
    found = significance(centred(cells), draws=60)
    return tuple(first_above([getattr(one, p) for one in found]) for p in ("p_permuted", "p_signed"))


@pytest.mark.parametrize("n_factors", [0, 1, 3])
def test_as_many_factors_are_significant_as_were_put_in(n_factors):
    assert n_significant(made(n_factors, seed=n_factors)) == (n_factors, n_factors)


def test_a_noisy_task_is_no_factor_where_signs_are_drawn():
    noise = np.ones((30, 1))
    noise[3] = 8.0
    permuted, signed = n_significant(made(0, row_noise=noise))
    assert permuted >= 1
    assert signed == 0


def test_r2_of_the_full_rank_is_one_and_grows_with_the_rank():
    cells = centred(made(2))
    found = [r2_of_rank(cells, rank) for rank in (1, 2, 5, 30)]
    assert found == sorted(found)
    assert found[-1] == pytest.approx(1.0)
    residual = cells - np.linalg.svd(cells)[0][:, :1] @ (np.linalg.svd(cells)[0][:, :1].T @ cells)
    assert found[0] == pytest.approx(1 - np.sum(residual**2) / np.sum(cells**2))


@pytest.mark.parametrize("form", [additive, multiplicative])
def test_a_form_is_found_again_from_most_of_its_cells(form):
    generator = np.random.default_rng(1)
    rows, columns = generator.uniform(1, 2, (20, 1)), generator.uniform(1, 2, (1, 40))
    cells = rows + columns if form is additive else rows * columns
    seen = generator.random(cells.shape) >= 0.2
    told = form(np.where(seen, cells, 99.0), seen)
    assert told == pytest.approx(cells, abs=1e-6)
    assert held_out_error(cells, seen, form) < 1e-4
