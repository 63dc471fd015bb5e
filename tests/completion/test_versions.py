"""A fit that takes over what an earlier version of the matrix knew, and rows that are read from a file."""

import numpy as np
import pytest

from forgetcast.completion import METHODS, FittedMethod, ForgettingMatrix, fit, random_probes
from forgetcast.completion.matrix.known_rows import SAMPLE_COLUMNS
from tests.completion.conftest import make_forgetting


def matrix_of(forgetting, rows) -> ForgettingMatrix:
    return ForgettingMatrix.from_arrays(forgetting[rows], task_ids=[f"task-{row}" for row in rows])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_examples", [80, SAMPLE_COLUMNS + 500])
def test_one_row_more_is_the_same_as_a_fresh_fit(method, n_examples):
    forgetting = make_forgetting(16, n_examples, rank=3)
    before, after = matrix_of(forgetting, range(14)), matrix_of(forgetting, range(15))
    probes = random_probes(n_examples, 20, 0)
    earlier = FittedMethod.from_arrays(fit(before, method).to_arrays())
    grown, fresh = fit(after, method, earlier=earlier), fit(after, method)
    one, other = (fitted.forecast(probes, forgetting[-1, probes]) for fitted in (grown, fresh))
    assert one.mean == pytest.approx(other.mean, abs=1e-9)
    assert one.low == pytest.approx(other.low, abs=1e-9)
    assert one.row_mean == pytest.approx(other.row_mean, abs=1e-9)
    if grown.local is not None and fresh.local is not None:
        assert grown.local.noise_share == fresh.local.noise_share
    assert grown.calibration.location == pytest.approx(fresh.calibration.location, abs=1e-9)
    assert grown.calibration.cell_shape == pytest.approx(fresh.calibration.cell_shape, abs=1e-6)


def test_a_chain_of_versions_does_not_drift():
    forgetting = make_forgetting(30, 200, rank=3)
    fitted = fit(matrix_of(forgetting, range(12)))
    for n_tasks in range(13, 30):
        fitted = fit(matrix_of(forgetting, range(n_tasks)), earlier=fitted)
    fresh = fit(matrix_of(forgetting, range(29)))
    probes = random_probes(200, 20, 0)
    one, other = (each.forecast(probes, forgetting[-1, probes]).mean for each in (fitted, fresh))
    assert one == pytest.approx(other, abs=1e-9)


def test_rows_mapped_from_a_file_are_fitted_without_a_copy(tmp_path):
    forgetting = make_forgetting(12, 3000, rank=2).astype(np.float32)
    np.save(tmp_path / "rows.npy", forgetting[:-1])
    mapped = np.load(tmp_path / "rows.npy", mmap_mode="r")
    from_file = fit(ForgettingMatrix.from_arrays(mapped))
    assert from_file.local is not None
    assert from_file.local.rows is mapped
    probes = random_probes(3000, 30, 0)
    values = forgetting[-1, probes].astype(np.float64)
    in_memory = fit(ForgettingMatrix.from_arrays(forgetting[:-1].astype(np.float64)))
    one, other = (fitted.forecast(probes, values) for fitted in (from_file, in_memory))
    assert one.mean == pytest.approx(other.mean, abs=1e-6)
    assert one.sd == pytest.approx(other.sd, abs=1e-6)


def test_a_missing_cell_is_filled_anew_whatever_was_known(make_matrix):
    matrix = make_matrix(n_tasks=10, n_examples=60, missing=0.1)
    complete = make_matrix(n_tasks=10, n_examples=60)
    grown, fresh = fit(matrix, earlier=fit(complete)), fit(matrix)
    probes = random_probes(60, 10, 0)
    values = complete.row(0)[probes]
    assert grown.forecast(probes, values).mean.tolist() == fresh.forecast(probes, values).mean.tolist()
