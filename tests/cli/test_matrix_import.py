"""`forgetcast matrix import`: all of a file or, where that cannot be, nothing of it."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.world import MATRIX, UPSTREAM_SET
from tests.client.answers import a_task, ok, page, problem


@pytest.fixture
def arguments(tmp_path):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    np.savez(rows, forgetting=[[0.1, np.nan], [0.3, 0.4]], task=["a", "b"], example=["poems-01", "code-01"])
    spec.write_text(json.dumps({name: MATRIX[name] for name in ("id", "upstream_set", "model", "recipe", "setting")}))
    return ["matrix", "import", rows, "--spec", spec]


@pytest.fixture
def importing(service):
    """A service that has neither the upstream set nor the matrix."""
    service.answers |= {
        ("GET", "/v1/tasks"): page([a_task("c", matrix="other")]),
        ("GET", "/v1/upstream-sets/s"): problem("upstream_set_not_found", 404),
        ("POST", "/v1/upstream-sets"): ok({**UPSTREAM_SET, "sealed": False}, 201),
        ("PUT", "/v1/upstream-sets/s/examples"): ok(UPSTREAM_SET),
        ("POST", "/v1/matrices"): ok(MATRIX, 201),
        ("PUT", "/v1/matrices/m/rows/a"): ok(a_task("a"), 201),
        ("PUT", "/v1/matrices/m/rows/b"): ok(a_task("b"), 201),
    }
    return service


def test_a_row_whose_id_another_matrix_has_is_refused_before_anything_is_made(run, importing, arguments):
    importing.answers["GET", "/v1/tasks"] = [
        page([a_task("a")], cursor="2"),
        page([a_task("b", matrix="other")]),
    ]
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert "'b'" in result.stderr and "'other'" in result.stderr and "rename" in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert {request.method for request in importing.requests} == {"GET"}


def test_rows_that_the_matrix_has_itself_are_imported_again(run, importing, arguments):
    importing.answers["GET", "/v1/tasks"] = page([a_task("a"), a_task("b")])
    assert run(*arguments).exit_code == 0
    assert len(importing.asked("PUT", "/v1/matrices/m/rows/b")) == 1


def test_a_set_that_is_made_of_ids_alone_says_that_workers_cannot_measure_it(run, importing, arguments):
    result = run(*arguments, "--json")
    assert "no worker can measure" in result.stderr and "forgetcast upstream import FILE --id s" in result.stderr
    assert json.loads(result.stdout)["id"] == "m"


def test_a_set_that_was_there_before_is_not_spoken_of(run, importing, arguments):
    importing.answers["GET", "/v1/upstream-sets/s"] = ok(UPSTREAM_SET)
    assert "upstream" not in run(*arguments).stderr


def test_importing_quietly_prints_the_id_alone(run, importing, arguments):
    result = run(*arguments, "-q")
    assert (result.stdout, result.stderr) == ("m\n", "")
