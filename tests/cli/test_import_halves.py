"""A refused `matrix import` leaves nothing behind: no set, no matrix, no row."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from forgetcast.client import ForgetcastClient
from forgetcast.schemas import MatrixCreate
from tests.cli.test_round_trip import RECIPE, URL, deployment, speak_to

__all__ = ["speak_to"]

GOOD: dict[str, Any] = {
    "forgetting": np.array([[0.1, 0.2], [0.3, np.nan], [0.2, 0.2]]),
    "task": ["a", "b", "c"],
    "example": ["x", "y"],
}
DEFINITION = MatrixCreate(id="m", upstream_set="s", model="tiny", recipe=RECIPE).model_dump(mode="json")


def left_behind(client: ForgetcastClient) -> list[str]:
    found = [matrix.id for matrix in client.matrices.list()] + [task.id for task in client.tasks.list()]
    try:
        client.upstream_sets.get("s")
    except Exception:
        return found
    return [*found, "s"]


@pytest.mark.parametrize(
    ("arrays", "definition", "said"),
    [
        ({"task": ["a", "b", "c/d"]}, {}, "the row 'c/d'"),
        ({"task": ["a", "b", "c" * 200]}, {}, "task_id"),
        ({"example": ["x", "y\u202e"]}, {}, "bidirectional"),
        ({"example": ["x", "y" * 600]}, {}, "1 to 512 bytes"),
        ({"domain": ["d", "e" * 200]}, {}, "domain"),
        ({"family": ["", "", "f" * 200]}, {}, "family"),
        ({"dataset": ["", "", "no digest"]}, {}, "dataset"),
        ({"seed": [1, 2, 2**40]}, {}, "seed"),
        ({"task": ["a", "b", "taken"]}, {}, "'taken' belongs to the matrix 'other'"),
        ({}, {"model": "unknown"}, "unknown"),
        ({}, {"recipe": {**DEFINITION["recipe"], "steps": 500_000}}, "at most 100000 steps"),
        ({}, {"upstream_set": "of-other"}, "has no example 'x'"),
    ],
)
def test_nothing_is_left_of_an_import_that_is_refused(run, speak_to, tmp_path, arrays, definition, said):
    rows, spec = tmp_path / "rows.npz", tmp_path / "matrix.json"
    np.savez(rows, **{**GOOD, **arrays})
    spec.write_text(json.dumps({**DEFINITION, **definition}))
    with deployment(tmp_path / "home") as service:
        speak_to(service)
        with ForgetcastClient(url=URL, transport=service) as client:
            client.upstream_sets.register(b'{"id": "z"}\n', id="of-other")
            other = MatrixCreate(id="other", upstream_set="of-other", model="tiny", recipe=RECIPE)
            client.matrices.create(other)
            client.matrices.put_row("other", "taken", {"z": 0.5})
            result = run("matrix", "import", rows, "--spec", spec)
            assert result.exit_code != 0
            assert said in result.stderr
            assert left_behind(client) == ["other", "taken"]
    assert len(result.stderr.splitlines()) <= 2


def test_a_file_that_unpacks_to_too_much_or_promises_what_it_has_not_is_refused(speak_to, tmp_path, monkeypatch):
    monkeypatch.setattr("service.operations.npz_limits.SMALL", 1000)
    np.savez_compressed(tmp_path / "large.npz", forgetting=np.zeros((100, 10_000)))
    with deployment(tmp_path / "home") as service, ForgetcastClient(url=URL, transport=service) as client:
        with pytest.raises(Exception, match="bytes once it is unpacked"):
            client.matrices.import_rows(tmp_path / "large.npz", MatrixCreate.model_validate(DEFINITION))
        for wrong in (b"", b"no npz", b"PK\x03\x04 and no more"):
            with pytest.raises(Exception, match="no npz file"):
                client.matrices.import_rows(wrong, MatrixCreate.model_validate(DEFINITION))
        assert left_behind(client) == []
