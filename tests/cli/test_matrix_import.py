"""What `forgetcast matrix import` says; test_import_halves.py has what a refused one leaves, which is nothing."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.world import MATRIX
from tests.client.answers import ok, problem


@pytest.fixture
def arguments(tmp_path):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    np.savez(rows, forgetting=[[0.1, np.nan], [0.3, 0.4]], task=["a", "b"], example=["poems-01", "code-01"])
    spec.write_text(json.dumps({name: MATRIX[name] for name in ("id", "upstream_set", "model", "recipe", "setting")}))
    return ["matrix", "import", rows, "--spec", spec]


@pytest.fixture
def importing(service):
    """A service that has neither the upstream set nor the matrix."""
    imported = {"matrix": MATRIX, "n_rows": 2, "new_rows": ["a", "b"], "upstream_set_made": True}
    service.answers["PUT", "/v1/matrices/m/rows.npz"] = ok(imported)
    return service


@pytest.mark.parametrize(
    ("code", "status", "exit_code"),
    [("task_exists", 409, 1), ("invalid_request", 422, 1), ("unknown_reference", 422, 2)],
)
def test_what_the_service_refuses_is_one_line_after_what_was_sent(run, importing, arguments, code, status, exit_code):
    importing.answers["PUT", "/v1/matrices/m/rows.npz"] = problem(code, status, "the row 'b' is another's")
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (exit_code, "")
    sending, refused = result.stderr.splitlines()
    assert sending == "sending 2 rows, 2 examples each" and "the row 'b' is another's" in refused


def test_a_set_that_is_made_of_ids_alone_says_that_workers_cannot_measure_it(run, importing, arguments):
    result = run(*arguments, "--json")
    assert "no worker can measure" in result.stderr and "forgetcast upstream import FILE --id s" in result.stderr
    assert json.loads(result.stdout)["id"] == "m"


def test_a_set_that_was_there_before_is_not_spoken_of(run, importing, arguments):
    there = {"matrix": MATRIX, "n_rows": 2, "new_rows": [], "upstream_set_made": False}
    importing.answers["PUT", "/v1/matrices/m/rows.npz"] = ok(there)
    said = run(*arguments).stderr
    assert "upstream" not in said and "0 of 2 rows are new" in said


def test_importing_quietly_prints_the_id_alone(run, importing, arguments):
    result = run(*arguments, "-q")
    assert (result.stdout, result.stderr) == ("m\n", "")
