"""What is sent to a service from files: upstream examples and matrices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.world import MATRIX, UPSTREAM_SET
from tests.client.answers import ok, problem

SPEC = {name: MATRIX[name] for name in ("id", "upstream_set", "model", "recipe")}


@pytest.fixture
def rows(tmp_path):
    path = tmp_path / "rows.npz"
    forgetting = np.array([[0.1, np.nan, 0.3], [0.4, 0.5, 0.6]])
    np.savez(
        path,
        forgetting=forgetting,
        task=["a", "b"],
        example=["x", "y", "z"],
        domain=["poems", "poems", "code"],
        family=["one", ""],
    )
    return path


@pytest.fixture
def spec(tmp_path):
    path = tmp_path / "matrix.json"
    path.write_text(json.dumps(SPEC))
    return path


@pytest.fixture
def importing(service):
    """A service that takes a matrix of two rows."""
    imported = {"matrix": MATRIX, "n_rows": 2, "new_rows": ["b"], "upstream_set_made": True, "warnings": ["outlier: a"]}
    service.answers["PUT", "/v1/matrices/m/rows.npz"] = ok(imported)
    return service


def test_upstream_examples_are_sent_and_counted(run, service, tmp_path):
    file = tmp_path / "upstream.jsonl"
    file.write_text('{"id": "x"}\n')
    service.answers["PUT", "/v1/upstream-sets/s/examples"] = ok(UPSTREAM_SET)
    result = run("upstream", "import", file, "--id", "s")
    assert result.stdout == "upstream set s: 3 examples in 2 domains, 1 held out, with texts\n"
    assert service.asked("PUT", "/v1/upstream-sets/s/examples")[0].content == b'{"id": "x"}\n'


def test_a_line_that_the_service_refuses_is_named(run, service, tmp_path):
    file = tmp_path / "upstream.jsonl"
    file.write_text('{"id": ""}\n')
    service.answers["PUT", "/v1/upstream-sets/s/examples"] = problem("invalid_request", 422, "line 1, field id: empty")
    result = run("upstream", "import", file, "--id", "s")
    assert result.exit_code == 1
    assert "line 1, field id" in result.stderr


def test_an_id_that_cannot_be_one_is_a_usage_error(run, service, tmp_path):
    (tmp_path / "upstream.jsonl").write_text('{"id": "x"}\n')
    result = run("upstream", "import", tmp_path / "upstream.jsonl", "--id", "a/b")
    assert (result.exit_code, service.requests) == (2, [])
    assert "an id has up to 128 letters" in result.stderr


def test_an_empty_file_is_not_sent(run, service, tmp_path):
    file = tmp_path / "upstream.jsonl"
    file.write_text("")
    assert run("upstream", "import", file).exit_code == 1
    assert service.requests == []


def test_a_matrix_goes_as_one_file_with_its_definition(run, importing, rows, spec):
    result = run("matrix", "import", rows, "--spec", spec)
    assert (result.exit_code, result.stdout) == (0, "matrix m: 40 rows, version 4\n")
    (sent,) = importing.requests
    assert sent.content == rows.read_bytes()
    assert {name: json.loads(sent.url.params["definition"])[name] for name in ("id", "upstream_set")} == {
        "id": "m",
        "upstream_set": "s",
    }


def test_what_was_made_and_what_is_beyond_belief_is_said(run, importing, rows, spec):
    said = run("matrix", "import", rows, "--spec", spec).stderr
    assert "upstream set s: made of ids without texts" in said
    assert "1 of 2 rows are new" in said
    assert "warning: outlier: a" in said


def test_a_spec_names_the_field_that_is_wrong(run, importing, rows, spec):
    spec.write_text(json.dumps({**SPEC, "recipe": {**MATRIX["recipe"], "steps": 0}}))
    result = run("matrix", "import", rows, "--spec", spec)
    assert result.exit_code == 1
    assert "recipe/steps" in result.stderr
    assert importing.requests == []


def test_a_file_without_rows_is_not_sent(run, importing, spec, tmp_path):
    (tmp_path / "rows.npz").write_bytes(b"not npz")
    result = run("matrix", "import", tmp_path / "rows.npz", "--spec", spec)
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert importing.requests == []
