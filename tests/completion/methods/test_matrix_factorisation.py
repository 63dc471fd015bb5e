import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.draws import Draws
from forgetcast.completion.methods.matrix_factorisation import BEGINNING, RANK, TIME, mf_mean
from forgetcast.errors import UnknownExample


def descend(known, observed, probes, forgetting, seed, rate=0.002):
    """The authors' way, for as long: every cell in every epoch, with a smaller rate and therefore more epochs."""
    rows = np.vstack([np.where(observed, known, 0.0), np.zeros(known.shape[1])])
    seen = np.vstack([observed, np.zeros(known.shape[1], bool)])
    rows[-1, probes], seen[-1, probes] = forgetting, True
    grand = rows[seen].mean()
    draws = Draws(seed)
    p, q = (BEGINNING * draws.normals(n * RANK).reshape(n, RANK) for n in rows.shape)
    b, c = np.zeros((rows.shape[0], 1)), np.zeros(rows.shape[1])
    for _ in range(round(TIME / rate)):
        error = np.where(seen, rows - grand - b - c - p @ q.T, 0.0)
        b, c = b + rate * error.sum(axis=1, keepdims=True), c + rate * error.sum(axis=0)
        p, q = p + rate * error @ q, q + rate * error.T @ p
    mean = grand + b[-1] + c + q @ p[-1]
    mean[probes] = forgetting
    return mean


@pytest.mark.parametrize("missing", [0.0, 0.3])
def test_it_is_where_plain_gradient_descent_arrives(make_matrix, monkeypatch, missing):
    monkeypatch.setattr("forgetcast.completion.methods.matrix_factorisation.STEPS", 1000)
    matrix = make_matrix(n_tasks=7, n_examples=24, missing=missing)
    probes = np.array([3, 11, 6, 0, 20])
    new = np.random.default_rng(5).normal(0.1, 0.05, 5)
    found = mf_mean(matrix.forgetting, matrix.observed, probes, new, seed=2)
    assert found == pytest.approx(descend(matrix.forgetting, matrix.observed, probes, new, seed=2), abs=2e-3)


def test_rows_of_low_rank_are_completed(make_matrix):
    matrix = make_matrix(n_tasks=21, n_examples=200, noise=0.001)
    probes = np.arange(0, 200, 4)
    truth = matrix.forgetting[20]
    found = mf_mean(matrix.forgetting[:20], matrix.observed[:20], probes, truth[probes])
    assert np.corrcoef(found, truth)[0, 1] > np.corrcoef(matrix.forgetting[:20].mean(axis=0), truth)[0, 1] + 0.1


def test_without_probes_it_is_the_mean_of_every_column(make_matrix):
    matrix = make_matrix(n_tasks=30, n_examples=40)
    found = mf_mean(matrix.forgetting, matrix.observed, np.zeros(0, np.intp), np.zeros(0))
    # The factors that the columns were given at the beginning have not become centred yet.
    assert np.corrcoef(found, matrix.forgetting.mean(axis=0))[0, 1] > 0.95


def test_unobserved_entries_are_never_read(make_matrix):
    matrix = make_matrix(n_tasks=6, n_examples=20, missing=0.3)
    poisoned = ForgettingMatrix.from_arrays(
        np.where(matrix.observed, matrix.forgetting, 1e300), observed=matrix.observed
    )
    probes, new = np.array([1, 2, 9]), np.array([0.1, 0.2, 0.0])
    first, second = (
        mf_mean(np.asarray(each.forgetting, np.float64), each.observed, probes, new) for each in (matrix, poisoned)
    )
    assert first.tolist() == second.tolist()


@pytest.mark.parametrize("scale", [1e-9, 1e3])
def test_any_scale_stays_finite(make_matrix, scale):
    matrix = make_matrix(n_tasks=6, n_examples=20)
    found = mf_mean(matrix.forgetting * scale, matrix.observed, np.array([1, 2]), np.array([scale, 0.0]))
    assert np.isfinite(found).all()


def test_a_probe_outside_the_set_is_refused(make_matrix):
    matrix = make_matrix()
    with pytest.raises(UnknownExample):
        mf_mean(matrix.forgetting, matrix.observed, np.array([99]), np.array([0.1]))
