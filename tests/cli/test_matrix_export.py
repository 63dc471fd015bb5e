"""`forgetcast matrix export`: what was exported can be imported and back-tested."""

from __future__ import annotations

import json

import httpx2
import numpy as np
import pytest

from forgetcast.completion import ForgettingMatrix
from tests.cli.world import MATRIX
from tests.client.answers import a_task, ok, page


def npy(*values: float) -> httpx2.Response:
    import io

    target = io.BytesIO()
    np.save(target, np.array(values, np.float32))
    return httpx2.Response(200, content=target.getvalue())


@pytest.fixture
def filled(service):
    known = [a_task("a", known=True, family="code"), a_task("b", known=True), a_task("new")]
    service.answers |= {
        ("GET", "/v1/tasks"): page(known),
        ("GET", "/v1/matrices/m/rows/a"): npy(0.1, float("nan"), 0.3),
        ("GET", "/v1/matrices/m/rows/b"): npy(0.4, 0.5, 0.6),
    }
    return service


def test_rows_come_with_ids_domains_and_families(run, filled, tmp_path):
    result = run("matrix", "export", "m", "-o", tmp_path / "rows.npz")
    assert (result.exit_code, result.stdout) == (0, "matrix m: 40 rows, version 4\n")
    rows = ForgettingMatrix.load(tmp_path / "rows.npz")
    assert rows.task_ids == ("a", "b")
    assert rows.example_ids == ("poems-01", "poems-02", "code-01")
    assert (rows.domains, rows.families) == (("poems", "poems", "code"), ("code", None))
    np.testing.assert_allclose(np.where(rows.observed, rows.forgetting, -1), [[0.1, -1, 0.3], [0.4, 0.5, 0.6]])


def test_what_was_exported_is_imported_elsewhere(run, filled, tmp_path):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    run("matrix", "export", "m", "-o", rows, "--spec", spec)
    imported = {"matrix": MATRIX, "n_rows": 2, "new_rows": ["a", "b"], "upstream_set_made": False}
    filled.answers["PUT", "/v1/matrices/m/rows.npz"] = ok(imported)
    assert run("matrix", "import", rows, "--spec", spec).exit_code == 0
    (request,) = filled.asked("PUT", "/v1/matrices/m/rows.npz")
    sent = json.loads(request.url.params["definition"])
    assert {name: sent[name] for name in ("id", "upstream_set", "model")} == {
        "id": "m",
        "upstream_set": "s",
        "model": "tiny",
    }
    assert request.content == rows.read_bytes()


def test_rows_that_change_meanwhile_are_not_mixed(run, filled, tmp_path):
    filled.answers["GET", "/v1/matrices/m"] = [ok(MATRIX), ok(MATRIX), ok({**MATRIX, "version": 5})]
    result = run("matrix", "export", "m", "-o", tmp_path / "rows.npz")
    assert result.exit_code == 1
    assert "read them again" in result.stderr
    assert not (tmp_path / "rows.npz").exists()


def test_the_files_of_the_service_are_saved_as_they_come(run, service, tmp_path):
    service.answers["GET", "/v1/matrices/m/rows.parquet"] = httpx2.Response(200, content=b"PAR1")
    assert run("matrix", "export", "m", "-o", tmp_path / "rows.parquet", "-q").stdout == "m\n"
    assert (tmp_path / "rows.parquet").read_bytes() == b"PAR1"


def test_another_ending_is_refused(run, service, tmp_path):
    result = run("matrix", "export", "m", "-o", tmp_path / "rows.csv")
    assert (result.exit_code, service.requests) == (2, [])
    assert "must end in .zip, .npz, .npy or .parquet" in result.stderr
