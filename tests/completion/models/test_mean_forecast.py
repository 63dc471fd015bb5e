import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix, fit, random_probes
from forgetcast.completion import blocks as blocks_module
from forgetcast.completion.models.mean_forecast import most_forgotten
from tests.completion.conftest import make_forgetting


@pytest.fixture
def narrow_blocks(monkeypatch):
    """Blocks of a few columns, so that a small row has many."""
    monkeypatch.setattr(blocks_module, "BLOCK_CELLS", 64)


@pytest.mark.parametrize("method", ["blend", "local", "factor", "additive"])
@pytest.mark.parametrize("k", [0, 1, 10, 60, 100])
def test_the_highest_of_a_row_are_those_of_the_row_written_down(method, k, narrow_blocks):
    forgetting = make_forgetting(15, 60)
    fitted = fit(ForgettingMatrix.from_arrays(forgetting[:-1]), method)
    probes = random_probes(60, 12, 0)
    forecast = fitted.forecast(probes, forgetting[-1, probes])
    positions, means = most_forgotten(fitted.mean(probes, forgetting[-1, probes]), k)
    assert positions.tolist() == forecast.top(k).tolist()
    assert means == pytest.approx(forecast.mean[positions])


def test_ties_across_blocks_go_to_the_first_position(narrow_blocks):
    fitted = fit(ForgettingMatrix.from_arrays(np.tile([0.1, 0.3, 0.2, 0.3], 50)[None]), "additive")
    positions, _ = most_forgotten(fitted.mean(np.zeros(0, dtype=np.intp), np.zeros(0)), 5)
    assert positions.tolist() == [1, 3, 5, 7, 9]
