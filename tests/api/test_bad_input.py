"""Whatever is wrong is answered with a problem that says what to do, and stores nothing half-done."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.operations.parquet import write_table
from tests.api.conftest import N_EXAMPLES, RECIPE, SETTING, World, examples, json_lines, low_rank_rows, npy

SHA = "0" * 64


def problem(response: Any) -> tuple[int, str]:
    """Status and code of an answer that has the promised form."""
    assert response.headers["content-type"] == "application/problem+json", response.text
    body = response.json()
    assert set(body) == {
        "type", "code", "title", "status", "detail", "instance", "request_id", "retryable", "errors"
    }  # fmt: skip
    assert body["status"] == response.status_code
    assert body["type"] == f"/problems/{body['code']}"
    assert body["request_id"] == response.headers["x-request-id"]
    return response.status_code, body["code"]


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        (b"", "no example"),
        (b"\n\n", "no example"),
        (b'{"id": "a", "text": "x"}\nnot json\n', "line 2"),
        (b'{"id": "a"}\n{"id": "a"}\n', "line 2, field id"),
        (b'{"id": "a", "text": "x", "messages": []}\n', "line 1"),
        (b'{"id": "a\\u202e"}\n', "bidirectional"),
        (b'{"id": ""}\n', "1 to 512 bytes"),
        (b'{"id": "a", "colour": "red"}\n', "field colour"),
        (b'{"id": "a", "domain": NaN}\n', "NaN is not a number"),
        (b"\xff\xfe\n", "line 1"),
        (b"[" * 100_000 + b"\n", "line 1"),
    ],
)
def test_a_broken_upstream_file_is_refused_with_its_line_and_leaves_the_set_empty(
    client: TestClient, content: bytes, detail: str
) -> None:
    client.post("/v1/upstream-sets", json={"id": "set"})
    answer = client.put("/v1/upstream-sets/set/examples", content=content)
    assert problem(answer) == (422, "invalid_request")
    assert detail in answer.json()["detail"]
    assert client.get("/v1/upstream-sets/set").json()["sealed"] is False
    assert client.get("/v1/upstream-sets/set/examples").json()["data"] == []


def test_a_sealed_set_takes_the_same_examples_and_no_others(empty_world: World) -> None:
    put = empty_world.client.put
    assert put("/v1/upstream-sets/set/examples", content=json_lines(examples())).status_code == 200
    other = put("/v1/upstream-sets/set/examples", content=json_lines(examples(5)))
    assert problem(other) == (409, "upstream_set_sealed")


@pytest.mark.parametrize(
    ("change", "expected", "pointer"),
    [
        ({"upstream_set": "absent"}, (422, "unknown_reference"), "/upstream_set"),
        ({"model": "absent"}, (422, "unknown_reference"), "/model"),
        ({"recipe": RECIPE | {"steps": 0}}, (422, "invalid_request"), "/recipe/steps"),
        ({"recipe": RECIPE | {"learning_rate": "nan"}}, (422, "invalid_request"), "/recipe/learning_rate"),
        ({"recipe": RECIPE | {"method": "lora"}}, (422, "invalid_request"), "/recipe"),
        ({"id": "../../etc/passwd"}, (422, "invalid_request"), "/id"),
        ({"recipe": RECIPE | {"steps": 500_000}}, (422, "limit_exceeded"), None),
        ({"id": "m", "setting": SETTING | {"max_tokens": 99}}, (409, "id_in_use"), None),
    ],
)
def test_a_matrix_that_cannot_be_made_says_which_field_is_wrong(
    empty_world: World, change: dict[str, Any], expected: tuple[int, str], pointer: str | None
) -> None:
    wanted = {"upstream_set": "set", "model": "tiny", "recipe": RECIPE, "setting": SETTING} | change
    answer = empty_world.client.post("/v1/matrices", json=wanted)
    assert problem(answer) == expected
    if pointer:
        assert answer.json()["errors"][0]["pointer"] == pointer
    assert [matrix["id"] for matrix in empty_world.client.get("/v1/matrices").json()["data"]] == ["m"]


@pytest.mark.parametrize(
    ("values", "code"),
    [
        (np.zeros(N_EXAMPLES - 1, np.float32), "wrong_shape"),
        (np.zeros((N_EXAMPLES, 1), np.float32), "wrong_shape"),
        (np.full(N_EXAMPLES, np.inf, np.float32), "not_finite"),
        (np.full(N_EXAMPLES, np.nan, np.float32), "nothing_observed"),
        (np.where(np.arange(N_EXAMPLES) == 3, 1.1e4, 0.1).astype(np.float32), "beyond_belief"),
        (np.full(N_EXAMPLES, -1e19, np.float32), "beyond_belief"),
        (np.full(N_EXAMPLES, 1e300, np.float64), "beyond_belief"),
        (np.zeros(N_EXAMPLES, np.int64), "invalid_request"),
        (np.array([{"pickled": True}] * N_EXAMPLES), "invalid_request"),
    ],
)
def test_a_row_that_does_not_fit_is_refused_and_changes_no_version(empty_world: World, values: Any, code: str) -> None:
    assert problem(empty_world.put_row("bad", values)) == (422, code)
    assert empty_world.client.get("/v1/matrices/m").json()["version"] == 0
    assert problem(empty_world.client.get("/v1/tasks/bad")) == (404, "task_not_found")


@pytest.mark.parametrize(
    ("lines", "code"),
    [
        ([{"example_id": "nobody", "forgetting": 1.0}], "unknown_reference"),
        ([{"example_id": "example-1", "forgetting": 1.0}] * 2, "repeated_example"),
        ([{"example_id": "example-1"}], "invalid_request"),
        ([{"example_id": "example-1", "forgetting": 1e300}], "beyond_belief"),
    ],
)
def test_a_row_of_json_lines_is_checked_line_by_line(
    empty_world: World, lines: list[dict[str, Any]], code: str
) -> None:
    url, headers = "/v1/matrices/m/rows/bad", {"Content-Type": "application/x-ndjson"}
    answer = empty_world.client.put(url, content=json_lines(lines), headers=headers)
    assert problem(answer) == (422, code)


def test_a_row_of_another_recipe_is_a_conflict(empty_world: World) -> None:
    import json

    row = empty_world.forgetting[0]
    assert problem(empty_world.put_row("other", row, recipe=json.dumps(RECIPE | {"steps": 99}))) == (
        409,
        "recipe_mismatch",
    )
    assert empty_world.put_row("same", row, recipe=json.dumps(RECIPE)).status_code == 201


@pytest.mark.parametrize(
    "lines",
    [
        b"",
        b"{}\n",
        b'{"text": 7}\n',
        b'{"prompt": "without completion"}\n',
        b'{"messages": [{"role": "user", "content": "and no reply"}]}\n',
        b'{"text": "good"}\n{"text": "cut off',
    ],
)
def test_a_broken_data_set_is_not_stored(client: TestClient, lines: bytes) -> None:
    from hashlib import sha256

    digest = sha256(lines).hexdigest()
    answer = client.put(f"/v1/datasets/{digest}", content=lines)
    assert problem(answer)[0] == 422
    again = client.put(f"/v1/datasets/{digest}", content=lines)
    assert again.status_code == 422


def test_a_data_set_must_have_the_sha256_it_is_sent_under(client: TestClient) -> None:
    assert problem(client.put(f"/v1/datasets/{SHA}", content=b'{"text": "x"}\n')) == (422, "sha256_mismatch")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"matrix": "absent", "measure": "none"}, (422, "unknown_reference")),
        ({"measure": "probe"}, (422, "invalid_request")),
        ({"measure": "probe", "dataset": SHA}, (422, "unknown_reference")),
        ({"measure": "none", "repeat_of": "absent"}, (422, "unknown_reference")),
        ({"measure": "sometimes"}, (422, "invalid_request")),
        ({"measure": "none", "seed": -1}, (422, "invalid_request")),
    ],
)
def test_a_task_that_cannot_be_registered_is_not_there(
    empty_world: World, fields: dict[str, Any], expected: tuple[int, str]
) -> None:
    assert problem(empty_world.post_task(id="bad", **fields)) == expected
    assert problem(empty_world.client.get("/v1/tasks/bad")) == (404, "task_not_found")


def test_cells_of_a_known_row_are_refused_and_its_forecast_stays(world: World) -> None:
    before = world.client.get("/v1/tasks/known-3/forecast")
    refused = world.measure("known-3", world.forgetting[3] + 77)
    assert problem(refused) == (409, "row_known")
    assert "/v1/matrices/m/rows/known-3" in refused.json()["detail"]
    assert world.client.get("/v1/tasks/known-3/forecast").json() == before.json()


def test_an_order_of_no_examples_is_refused(empty_world: World) -> None:
    empty_world.post_task(id="new", measure="none", dataset=empty_world.put_dataset())
    order = {"measure": "examples", "examples": []}
    assert problem(empty_world.client.post("/v1/tasks/new/jobs", json=order)) == (422, "invalid_request")


def test_more_probes_than_examples_leave_neither_task_nor_job(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    answer = empty_world.post_task(id="greedy", dataset=dataset, size=N_EXAMPLES + 1)
    assert problem(answer) == (422, "too_many_examples_asked")
    assert problem(empty_world.client.get("/v1/tasks/greedy")) == (404, "task_not_found")


def test_a_matrix_without_rows_forecasts_nothing(empty_world: World) -> None:
    empty_world.post_task(id="new", measure="none")
    assert empty_world.measure("new", low_rank_rows(1)[0]).status_code == 202
    assert problem(empty_world.client.get("/v1/tasks/new/forecast")) == (409, "matrix_empty")


def test_few_rows_are_enough_and_are_said(empty_world: World) -> None:
    for place in range(3):
        empty_world.put_row(f"known-{place}", empty_world.forgetting[place])
    empty_world.fit()
    empty_world.post_task(id="new", measure="none")
    warnings = empty_world.measure("new", low_rank_rows(1, seed=5)[0]).json()["warnings"]
    assert any(warning.startswith("few_rows: the matrix has 3 known rows") for warning in warnings)


def test_a_version_that_is_not_fitted_yet_says_when_to_ask_again(world: World) -> None:
    world.post_task(id="new", measure="none")
    world.measure("new", low_rank_rows(1, seed=5)[0])
    answer = world.client.get("/v1/tasks/new/forecast", params={"as_of": 3})
    assert problem(answer) == (503, "fit_pending")
    assert int(answer.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"setting": SETTING | {"scored": "all"}}, (409, "recipe_mismatch")),
        ({"cells": [{"example_id": "nobody", "forgetting": 0.1}]}, (422, "unknown_reference")),
        ({"cells": [{"example_id": "example-1", "forgetting": 0.1}] * 2}, (422, "repeated_example")),
        ({"cells": [{"example_id": "example-1", "forgetting": -1.1e4}]}, (422, "beyond_belief")),
        ({"cells": [{"example_id": "example-1", "before": 2.0, "after": 1e300}]}, (422, "beyond_belief")),
        ({"cells": []}, (422, "invalid_request")),
        ({"cells": [{"example_id": "example-1", "before": 1.0}]}, (422, "invalid_request")),
    ],
)
def test_measurements_are_taken_all_or_none(world: World, change: dict[str, Any], expected: tuple[int, str]) -> None:
    world.post_task(id="new", measure="none")
    assert problem(world.measure("new", low_rank_rows(1)[0], **change)) == expected
    assert world.client.get("/v1/tasks/new").json()["n_measured"] == 0


def test_a_value_beyond_belief_is_refused_by_task_and_example(world: World) -> None:
    """In whichever form it comes."""
    row = world.forgetting[0].copy()
    row[7] = 2e4
    ids = [f"example-{place}" for place in range(N_EXAMPLES)]
    cells = [{"example_id": name, "forgetting": float(value)} for name, value in zip(ids, row, strict=True)]
    table = write_table({"example_id": ids, "forgetting": row})
    bodies = {"x-npy": npy(row), "x-ndjson": json_lines(cells), "vnd.apache.parquet": table}
    for kind, body in bodies.items():
        headers = {"Content-Type": f"application/{kind}"}
        answer = world.client.put("/v1/matrices/m/rows/wild", content=body, headers=headers)
        assert problem(answer) == (422, "beyond_belief"), kind
        assert "'example-7'" in answer.json()["detail"] and "20000 nats per token" in answer.json()["detail"]
        assert problem(world.client.get("/v1/tasks/wild")) == (404, "task_not_found")
    world.post_task(id="new", measure="none")
    posted = world.measure("new", row, n_probes=80)
    assert "'new', example 'example-7'" in posted.json()["detail"]
    assert posted.json()["errors"][0]["pointer"] == "/cells/7"


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_numbers_that_are_not_finite_are_refused_in_json(world: World, number: str) -> None:
    import json

    world.post_task(id="new", measure="none")
    body = json.dumps({"setting": SETTING, "recipe": RECIPE, "cells": [{"example_id": "example-1", "forgetting": 7.5}]})
    answer = world.client.post(
        "/v1/tasks/new/measurements",
        content=body.replace("7.5", number),
        headers={"Content-Type": "application/json"},
    )
    assert problem(answer)[0] == 422
    assert world.client.get("/v1/tasks/new").json()["n_measured"] == 0


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/tasks/absent", (404, "task_not_found")),
        ("/v1/tasks/absent/forecast", (404, "task_not_found")),
        ("/v1/jobs/absent", (404, "job_not_found")),
        ("/v1/jobs/absent/events", (404, "job_not_found")),
        ("/v1/matrices/absent", (404, "matrix_not_found")),
        ("/v1/matrices/m/rows/absent", (404, "row_not_found")),
        ("/v1/upstream-sets/absent", (404, "upstream_set_not_found")),
        ("/v2/anything", (404, "route_not_found")),
        ("/v1/tasks?cursor=%21%21", (422, "invalid_request")),
        ("/v1/tasks?limit=0", (422, "invalid_request")),
    ],
)
def test_what_is_not_there_is_a_problem(empty_world: World, path: str, expected: tuple[int, str]) -> None:
    assert problem(empty_world.client.get(path)) == expected


def test_a_method_that_a_path_does_not_have_is_a_problem(client: TestClient) -> None:
    answer = client.delete("/v1/tasks")
    assert problem(answer) == (405, "method_not_allowed")
    assert "POST" in answer.headers["allow"]


def test_a_body_that_is_too_large_is_cut_off(client: TestClient) -> None:
    def endless() -> Any:
        for _ in range(3000):
            yield b'{"id": "x", "text": "' + b"a" * 1000 + b'"}\n'

    client.post("/v1/upstream-sets", json={"id": "set"})
    assert problem(client.put("/v1/upstream-sets/set/examples", content=endless())) == (413, "limit_exceeded")
    large = client.post("/v1/tasks", content=b"x" * 200_000, headers={"Content-Type": "application/json"})
    assert problem(large) == (413, "limit_exceeded")


def test_a_body_of_an_unknown_kind_is_refused(empty_world: World) -> None:
    put = empty_world.client.put
    zipped = put("/v1/matrices/m/rows/x", content=npy(np.zeros(3)), headers={"Content-Encoding": "gzip"})
    assert problem(zipped) == (415, "unsupported_media_type")
    text = put("/v1/matrices/m/rows/x", content=b"1,2,3", headers={"Content-Type": "text/csv"})
    assert problem(text) == (415, "unsupported_media_type")


CONTROLS = ["a\x1b[31m", "a\tb", "a\nb", "\x9b2J", "a\u202eb", "a\u2028b", "\x7f"]


@pytest.mark.parametrize("text", CONTROLS)
def test_what_stands_in_tables_holds_no_control_characters(world: World, text: str) -> None:
    """Domains, families, names of keys, tags, sources of cells and modules of a recipe; texts of examples may."""
    client = world.client
    client.post("/v1/upstream-sets", json={"id": "other"})
    for line in ({"id": "a", "domain": text}, {"id": "a", "tags": [text]}):
        sent = client.put("/v1/upstream-sets/other/examples", content=json_lines([line]))
        assert problem(sent) == (422, "invalid_request"), line
    assert problem(world.put_row("row", world.forgetting[0], family=text)) == (422, "invalid_request")
    assert problem(world.post_task(id="new", measure="none", family=text)) == (422, "invalid_request")
    assert problem(client.post("/v1/api-keys", json={"name": text, "scopes": ["read"]})) == (422, "invalid_request")
    world.post_task(id="new", measure="none")
    assert problem(world.measure("new", world.forgetting[0], source=text)) == (422, "invalid_request")
    recipe = RECIPE | {"method": "lora", "lora": {"rank": 1, "alpha": 1, "target_modules": [text]}}
    wanted = {"upstream_set": "set", "model": "tiny", "recipe": recipe, "setting": SETTING}
    assert problem(client.post("/v1/matrices", json=wanted)) == (422, "invalid_request")
    whole = client.put("/v1/upstream-sets/other/examples", content=json_lines([{"id": "a", "text": text}]))
    assert whole.status_code == 200
