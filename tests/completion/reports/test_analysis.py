import json
from typing import Any

import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion import analyse as run
from forgetcast.completion.reports.json_ready import json_ready


def analyse(*arguments: Any) -> dict[str, Any]:
    """The report as it is written as JSON."""
    found: dict[str, Any] = json.loads(json.dumps(json_ready(run(*arguments)), allow_nan=False))
    return found


def low_rank(rank=2, n_tasks=12, n_examples=60, seed=0):
    generator = np.random.default_rng(seed)
    return 0.1 + 0.05 * generator.normal(size=(n_tasks, rank)) @ generator.normal(size=(rank, n_examples))


def test_r2_by_rank_is_that_of_the_singular_values_without_the_grand_mean(make_matrix):
    matrix = make_matrix(n_tasks=12, n_examples=60)
    squared = np.linalg.svd(matrix.forgetting - matrix.forgetting.mean(), compute_uv=False) ** 2
    found = analyse(matrix)["r2_by_rank"]
    assert found == pytest.approx(np.cumsum(squared)[:10] / squared.sum())


def test_a_matrix_of_rank_two_is_explained_at_rank_two():
    Z = low_rank() - low_rank().mean()
    found = analyse(ForgettingMatrix.from_arrays(Z))["r2_by_rank"]
    assert len(found) <= 3
    assert found[0] < 0.99 < found[1]
    assert found[-1] == pytest.approx(1)


def test_additive_and_multiplicative_rows_are_recognised():
    generator = np.random.default_rng(0)
    row, column = generator.normal(size=(9, 1)), generator.normal(size=40)
    additive = analyse(ForgettingMatrix.from_arrays(row + column))
    multiplicative = analyse(ForgettingMatrix.from_arrays((1 + row) * column))
    assert additive["r2_additive"] == pytest.approx(1) != pytest.approx(additive["r2_multiplicative"])
    assert multiplicative["r2_multiplicative"] == pytest.approx(1) != pytest.approx(multiplicative["r2_additive"])


def test_missing_cells_change_little_and_are_never_read():
    Z = low_rank(n_tasks=30, n_examples=80) + 0.005 * np.random.default_rng(1).normal(size=(30, 80))
    observed = np.random.default_rng(2).random(Z.shape) > 0.15
    whole = analyse(ForgettingMatrix.from_arrays(Z))
    holes, poisoned = (
        analyse(ForgettingMatrix.from_arrays(np.where(observed, Z, other), observed=observed)) for other in (0.0, 1e300)
    )
    assert holes == poisoned
    assert holes["share_observed"] == pytest.approx(observed.mean())
    assert holes["r2_by_rank"][:3] == pytest.approx(whole["r2_by_rank"][:3], abs=0.03)
    assert holes["r2_additive"] == pytest.approx(whole["r2_additive"], abs=0.05)


def test_a_factor_names_the_domains_and_tasks_that_load_on_it():
    Z = np.full((8, 40), 0.01) + 0.001 * np.random.default_rng(0).normal(size=(8, 40))
    Z[2, :10] += 0.5  # the first factor: the poems under task-2
    domains = ["poems"] * 10 + ["code"] * 30
    found = analyse(ForgettingMatrix.from_arrays(Z, domains=domains))
    first = found["factors"][0]
    assert first["domains"][0]["domain"] == "poems"
    assert first["domains"][0]["mean_loading"] > 0
    assert first["domains"][0]["share"] > 0.8
    assert first["tasks"]["most"][0]["task"] == "task-2"
    assert [factor["share"] for factor in found["factors"]] == sorted(
        (factor["share"] for factor in found["factors"]), reverse=True
    )


def test_the_most_and_least_forgetful_are_named_with_their_mean(make_matrix):
    matrix = make_matrix(n_tasks=40, n_examples=50)
    found = analyse(matrix)
    means = matrix.forgetting.mean(axis=1)
    assert found["tasks"]["most"][0]["task"] == f"task-{np.argmax(means)}"
    assert found["tasks"]["most"][0]["mean"] == pytest.approx(means.max())
    assert found["tasks"]["least"][0]["task"] == f"task-{np.argmin(means)}"
    assert found["examples"]["least"][0]["example_id"] == str(np.argmin(matrix.forgetting.mean(axis=0)))
    assert len(found["examples"]["most"]) == len(found["examples"]["least"]) == 10


@pytest.mark.parametrize("Z", [[[0.1, 0.2, 0.0]], [[0.0, 0.0], [0.0, 0.0]], [[0.1], [0.2]], [[0.3]]])
def test_the_smallest_matrices_are_described(Z):
    found = analyse(ForgettingMatrix.from_arrays(Z))
    named = [entry["task"] for end in ("most", "least") for entry in found["tasks"][end]]
    assert sorted(named) == [f"task-{i}" for i in range(len(Z))]


def test_rows_that_repeat_a_task_are_no_known_rows(tmp_path):
    path, Z = tmp_path / "rows.npz", np.arange(12.0).reshape(3, 4)
    Z[2, 1] = np.nan
    np.savez(path, forgetting=Z, task=["a", "b", "again"], repeat_of=["", "", "a"])
    matrix = ForgettingMatrix.load(path)
    assert matrix.task_ids == ("a", "b")
    (repeat,) = matrix.measured_twice()
    assert (repeat.task_id, repeat.first.tolist(), repeat.second.tolist()) == ("a", [0.0, 2.0, 3.0], [8.0, 10.0, 11.0])


def test_cells_and_rows_beyond_belief_are_named():
    Z = np.random.default_rng(0).normal(0.1, 0.1, (8, 60))
    assert analyse(ForgettingMatrix.from_arrays(Z))["outliers"] == {"n_cells": 0, "cells": [], "n_rows": 0, "rows": []}
    Z[2, 7], Z[5] = 50.0, Z[5] + 9.0
    found = analyse(ForgettingMatrix.from_arrays(Z))["outliers"]
    (cell,), (row,) = found["cells"], found["rows"]
    assert (found["n_cells"], cell["task"], cell["example_id"], cell["forgetting"]) == (1, "task-2", "7", 50.0)
    assert cell["robust_sd"] > 50
    assert (found["n_rows"], row["task"]) == (1, "task-5")
    assert row["shift"] == pytest.approx(9.0, abs=0.2)
