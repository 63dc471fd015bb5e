"""What is sent to a service from files: upstream examples and matrices."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.cli.world import MATRIX, UPSTREAM_SET
from tests.client.answers import a_task, ok, problem

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
    """A service that takes a matrix and two rows."""
    service.answers |= {
        ("POST", "/v1/matrices"): ok(MATRIX, 201),
        ("PUT", "/v1/matrices/m/rows/a"): ok(a_task("a"), 201),
        ("PUT", "/v1/matrices/m/rows/b"): ok(a_task("b"), 201),
    }
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


def test_an_empty_file_is_not_sent(run, service, tmp_path):
    file = tmp_path / "upstream.jsonl"
    file.write_text("")
    assert run("upstream", "import", file).exit_code == 1
    assert service.requests == []


def test_rows_go_by_example_id_without_their_missing_cells(run, importing, rows, spec):
    assert run("matrix", "import", rows, "--spec", spec).exit_code == 0
    (sent,) = importing.asked("PUT", "/v1/matrices/m/rows/a")
    cells = [json.loads(line) for line in sent.content.splitlines()]
    assert cells == [{"example_id": "x", "forgetting": 0.1}, {"example_id": "z", "forgetting": 0.3}]
    assert dict(sent.url.params) == {"family": "one"}


def test_a_family_that_is_empty_is_none(run, importing, rows, spec):
    run("matrix", "import", rows, "--spec", spec)
    assert not importing.asked("PUT", "/v1/matrices/m/rows/b")[0].url.params


def test_a_missing_upstream_set_is_made_of_ids_and_domains(run, importing, rows, spec):
    importing.answers |= {
        ("GET", "/v1/upstream-sets/s"): problem("upstream_set_not_found", 404),
        ("POST", "/v1/upstream-sets"): ok(UPSTREAM_SET, 201),
        ("PUT", "/v1/upstream-sets/s/examples"): ok(UPSTREAM_SET),
    }
    run("matrix", "import", rows, "--spec", spec)
    (sent,) = importing.asked("PUT", "/v1/upstream-sets/s/examples")
    assert json.loads(sent.content.splitlines()[0]) == {"id": "x", "domain": "poems"}


def test_an_upstream_set_that_is_there_is_left_alone(run, importing, rows, spec):
    run("matrix", "import", rows, "--spec", spec)
    assert importing.asked("PUT", "/v1/upstream-sets/s/examples") == []


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
