import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.methods.knn import knn_mean
from forgetcast.errors import RepeatedExample


def biases_by_descent(rows, seen, rate=0.005, ridge=0.02, epochs=4000):
    """The authors' way: cell by cell, in order."""
    grand = rows[seen].mean()
    row_bias, column_bias = np.zeros(rows.shape[0]), np.zeros(rows.shape[1])
    cells = [(int(i), int(j), float(rows[i, j])) for i, j in np.argwhere(seen)]
    for _ in range(epochs):
        for i, j, value in cells:
            error = value - (grand + row_bias[i] + column_bias[j])
            row_bias[i] += rate * (error - ridge * row_bias[i])
            column_bias[j] += rate * (error - ridge * column_bias[j])
    return grand, row_bias, column_bias


def knn_cell_by_cell(known, observed, probes, forgetting, k):
    rows = np.vstack([np.where(observed, known, 0.0), np.zeros(known.shape[1])])
    seen = np.vstack([observed, np.zeros(known.shape[1], bool)])
    rows[-1, probes], seen[-1, probes] = forgetting, True
    grand, row_bias, column_bias = biases_by_descent(rows, seen)
    mean = grand + row_bias[-1] + column_bias
    similarity = np.zeros(len(known))
    for i in range(len(known)):
        shared = [j for j in probes if observed[i, j]]
        if shared:
            similarity[i] = 1 / (1 + np.mean([(rows[i, j] - rows[-1, j]) ** 2 for j in shared]))
    for j in range(known.shape[1]):
        near = sorted((i for i in range(len(known)) if observed[i, j]), key=lambda i: -similarity[i])[:k]
        total = sum(similarity[i] for i in near)
        if total > 0:
            mean[j] += sum(similarity[i] * (rows[i, j] - grand - row_bias[i] - column_bias[j]) for i in near) / total
    mean[probes] = forgetting
    return mean


@pytest.mark.parametrize("missing", [0.0, 0.3])
@pytest.mark.parametrize("k", [2, 40])
def test_it_is_what_the_authors_compute_cell_by_cell(make_matrix, monkeypatch, missing, k):
    monkeypatch.setattr("forgetcast.completion.methods.knn.NEIGHBOURS", k)
    matrix = make_matrix(n_tasks=6, n_examples=14, missing=missing)
    probes = np.array([3, 11, 6, 0])
    new = np.random.default_rng(5).normal(0.1, 0.05, 4)
    found = knn_mean(matrix.forgetting, matrix.observed, probes, new)
    assert found == pytest.approx(knn_cell_by_cell(matrix.forgetting, matrix.observed, probes, new, k), abs=2e-4)


def test_a_copy_of_a_known_row_is_met_when_one_neighbour_is_heard(make_matrix, monkeypatch):
    monkeypatch.setattr("forgetcast.completion.methods.knn.NEIGHBOURS", 1)
    matrix = make_matrix(n_tasks=8, n_examples=200)
    probes = np.arange(0, 200, 5)
    found = knn_mean(matrix.forgetting, matrix.observed, probes, matrix.forgetting[3, probes])
    assert np.corrcoef(found, matrix.forgetting[3])[0, 1] > 0.99


def test_without_probes_it_is_the_mean_of_every_column(make_matrix):
    matrix = make_matrix(n_tasks=6, n_examples=20)
    found = knn_mean(matrix.forgetting, matrix.observed, np.zeros(0, np.intp), np.zeros(0))
    # Biases shrink by 2%.
    assert found == pytest.approx(matrix.forgetting.mean(axis=0), abs=0.02 * np.ptp(matrix.forgetting))


def test_unobserved_entries_are_never_read(make_matrix):
    matrix = make_matrix(n_tasks=6, n_examples=20, missing=0.3)
    poisoned = ForgettingMatrix.from_arrays(
        np.where(matrix.observed, matrix.forgetting, 1e300), observed=matrix.observed
    )
    probes, new = np.array([1, 2, 9]), np.array([0.1, 0.2, 0.0])
    first, second = (
        knn_mean(np.asarray(each.forgetting, np.float64), each.observed, probes, new) for each in (matrix, poisoned)
    )
    assert first.tolist() == second.tolist()


def test_an_example_that_no_row_knows_gets_the_row_s_level(make_matrix):
    matrix = make_matrix(n_tasks=6, n_examples=20)
    observed = matrix.observed.copy()
    observed[:, 7] = False
    found = knn_mean(matrix.forgetting, observed, np.array([1, 2]), np.array([5.0, 5.0]))
    assert np.isfinite(found).all()
    assert found[7] > 1


def test_a_probe_given_twice_is_refused(make_matrix):
    matrix = make_matrix()
    with pytest.raises(RepeatedExample):
        knn_mean(matrix.forgetting, matrix.observed, np.array([1, 1]), np.array([0.1, 0.1]))
