"""HTTP as its clients speak it: HEAD, several header lines, names of media types; and what nobody reads is refused."""

from __future__ import annotations

import json
import re
from typing import Any

import numpy as np
import pytest
from fastapi.testclient import TestClient

from service.api.media_types import JSON, JSON_LINES, NPY, PARQUET
from service.operations.parquet import write_table
from service.settings import Settings
from tests.api.conftest import N_EXAMPLES, RECIPE, SETTING, World, examples, json_lines, low_rank_rows, npy
from tests.api.test_bad_input import problem

ROW = low_rank_rows(1, seed=5)[0]


@pytest.fixture
def measured(world: World) -> World:
    world.post_task(id="new", measure="none", n_examples=640)
    assert world.measure("new", ROW).status_code == 200
    return world


# HEAD

READ = [
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/docs",
    "/v1/tasks",
    "/v1/tasks/new",
    "/v1/tasks/new/forecast",
    "/v1/tasks/new/forgotten?k=3",
    "/v1/tasks/new/forgetting.npy",
    "/v1/tasks/new/forgetting.jsonl",
    "/v1/tasks/new/replay-set.jsonl?size=5",
    "/v1/matrices/m/rows.npy",
    "/v1/matrices/m/rows/known-1",
    "/v1/upstream-sets/set/examples",
    "/v1/tasks/absent",
    "/v1/nothing",
]


@pytest.mark.parametrize("path", READ)
def test_head_has_the_status_and_headers_of_get_and_no_body(measured: World, path: str) -> None:
    assert measured.client.head(path).content == b""  # computed
    got, head = measured.client.get(path), measured.client.head(path)  # from memory, where it is kept
    assert (head.status_code, head.content) == (got.status_code, b"")
    own = {"x-request-id", "date", "content-length" if path == "/metrics" else ""}
    assert {name: value for name, value in head.headers.items() if name not in own} == {
        name: value for name, value in got.headers.items() if name not in own
    }


def test_head_of_what_is_there_already_is_304(measured: World) -> None:
    etag = measured.client.get("/v1/tasks/new/forecast").headers["etag"]
    assert measured.client.head("/v1/tasks/new/forecast", headers={"If-None-Match": etag}).status_code == 304


def test_head_of_events_does_not_wait_for_them(measured: World) -> None:
    dataset = measured.put_dataset()
    job = measured.post_task(id="ordered", dataset=dataset, size=5).json()["job"]
    headers = {"Accept": "text/event-stream"}
    assert measured.client.head(f"/v1/jobs/{job}/events", headers=headers).status_code == 200


def test_head_works_where_get_does_and_nowhere_else(client: TestClient) -> None:
    assert problem(client.get("/v1/jobs/x/cancel")) == (405, "method_not_allowed")
    assert client.head("/v1/jobs/x/cancel").status_code == 405
    assert client.delete("/v1/tasks").headers["allow"] == "GET, HEAD, POST"


# The query


@pytest.mark.parametrize(
    ("path", "name", "said"),
    [
        ("/v1/tasks?matix=m", "matix", "did you mean matrix?"),
        ("/v1/tasks/new/forgotten?K=3", "K", "did you mean k?"),
        ("/v1/tasks/new/forecast?leve=0.5", "leve", "did you mean level?"),
        ("/v1/tasks/new/replay-set?sed=1", "sed", "did you mean seed?"),
        ("/v1/tasks/new/replay-set.jsonl?limit=1", "limit", "known are"),
        ("/v1/jobs/x?wat=1", "wat", "did you mean wait?"),
        ("/v1/queue?limit=1", "limit", "there is none here"),
        ("/v1/caller?x", "x", "there is none here"),
        ("/healthz?x=1", "x", "there is none here"),
        ("/v1/tasks/new/forgotten?k=3&k=4", "k", "given 2 times"),
        ("/v1/tasks?limit=1&limit=1", "limit", "given 2 times"),
    ],
)
def test_a_parameter_that_nobody_reads_is_refused(measured: World, path: str, name: str, said: str) -> None:
    answer = measured.client.get(path)
    assert problem(answer) == (422, "invalid_request")
    assert answer.json()["errors"][0]["pointer"] == name
    assert said in answer.json()["detail"]


def test_also_where_something_is_changed(world: World) -> None:
    put = world.put_row("new", ROW, famly="x")
    assert problem(put) == (422, "invalid_request") and "did you mean family?" in put.json()["detail"]
    assert problem(world.client.post("/v1/tasks?dry_run=1", json={"matrix": "m", "measure": "none"}))[0] == 422
    assert world.client.get("/v1/tasks/new").status_code == 404


def test_a_list_may_be_repeated(world: World) -> None:
    answer = world.client.get("/v1/matrices/m/probe-set?domain=code&domain=poems&size=4")
    assert answer.status_code == 200 and answer.json()["domains"] == ["code", "poems"]


def test_of_many_unknown_parameters_a_few_dozen_are_named(world: World) -> None:
    answer = world.client.get("/v1/tasks?" + "&".join(f"{place}" for place in range(3000)))
    assert answer.status_code == 422 and len(answer.json()["errors"]) <= 32


# Cursors


def test_a_cursor_is_of_its_list_alone(world: World) -> None:
    def get(path: str, **query: Any) -> Any:
        return world.client.get(path, params={"limit": 1, **query})

    for name in ("a", "b"):
        world.client.post("/v1/upstream-sets", json={"id": f"set-{name}"})
        world.client.put(f"/v1/upstream-sets/set-{name}/examples", content=json_lines(examples(3)))
        wanted = {"id": f"m-{name}", "upstream_set": "set", "model": "tiny", "recipe": RECIPE, "setting": SETTING}
        world.client.post("/v1/matrices", json=wanted)
    tasks = get("/v1/tasks").json()["next_cursor"]
    of_matrix = get("/v1/tasks", matrix="m").json()["next_cursor"]
    matrices = get("/v1/matrices").json()["next_cursor"]
    examples_a = get("/v1/upstream-sets/set-a/examples").json()["next_cursor"]
    assert get("/v1/tasks", cursor=tasks, limit=5).status_code == 200
    assert get("/v1/tasks", cursor=of_matrix, matrix="m").status_code == 200
    for path, cursor, query in (
        ("/v1/tasks", matrices, {}),
        ("/v1/matrices", tasks, {}),
        ("/v1/tasks", of_matrix, {}),
        ("/v1/tasks", tasks, {"matrix": "m"}),
        ("/v1/upstream-sets/set-b/examples", examples_a, {}),
        ("/v1/audit", tasks, {}),
        ("/v1/api-keys", tasks, {}),
        ("/v1/tasks", tasks[:-1], {}),
        ("/v1/tasks", "a25vd24tMQ", {}),
    ):
        refused = get(path, cursor=cursor, **query)
        assert problem(refused) == (422, "invalid_request"), (path, query)
        assert refused.json()["errors"][0]["pointer"] == "cursor"


# Header lines


@pytest.mark.parametrize("path", ["/v1/tasks/new/forecast", "/v1/matrices/m/rows.npy", "/v1/matrices/m/rows/known-1"])
def test_lines_of_if_none_match_are_one_list(measured: World, path: str) -> None:
    etag = measured.client.get(path).headers["etag"]
    for lines in (['"other"', etag], [etag, '"other"'], ['"a", "b"', f'"c", W/{etag}']):
        headers = [("If-None-Match", line) for line in lines]
        assert measured.client.get(path, headers=headers).status_code == 304, lines
    two = [("If-None-Match", '"a"'), ("If-None-Match", '"b"')]
    assert measured.client.get(path, headers=two).status_code == 200


def test_accepted_codings_may_stand_on_lines_of_their_own(measured: World) -> None:
    headers = [("Accept-Encoding", "br"), ("Accept-Encoding", "gzip")]
    answer = measured.client.get(f"/v1/tasks/new/forgotten?k={N_EXAMPLES}", headers=headers)
    assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("name", ["Authorization", "Idempotency-Key", "Content-Type"])
def test_what_can_be_said_once_is_not_said_twice(empty_world: World, name: str) -> None:
    body = json.dumps({"id": "one", "matrix": "m", "measure": "none"})
    headers = [(name, "application/json"), (name, "application/json"), ("X-Other", "x")]
    answer = empty_world.client.post("/v1/tasks", content=body, headers=headers)
    assert problem(answer) == (422, "invalid_request") and name.lower() in answer.json()["detail"]


# Media types


@pytest.mark.parametrize(
    "named",
    [
        "",
        "application/octet-stream",
        JSON_LINES,
        "application/jsonl",
        "application/ndjson",
        "application/x-jsonlines",
        "application/jsonlines; charset=utf-8",
        "text/plain",
        "Application/JSONL",
    ],
)
def test_json_lines_by_their_usual_names(empty_world: World, named: str) -> None:
    headers = {"Content-Type": named} if named else {}
    empty_world.client.post("/v1/upstream-sets", json={"id": "other"})
    put = empty_world.client.put
    assert put("/v1/upstream-sets/other/examples", content=json_lines(examples()), headers=headers).status_code == 200
    digest = empty_world.put_dataset()
    content = json_lines([{"text": "one"}, {"text": "two"}])
    assert put(f"/v1/datasets/{digest}", content=content, headers=headers).status_code == 200
    if named and "octet" not in named:
        cells = [{"example_id": f"example-{place}", "forgetting": 0.1} for place in range(N_EXAMPLES)]
        row = put("/v1/matrices/m/rows/row", content=json_lines(cells), headers=headers)
        assert row.status_code == 201, row.text


@pytest.mark.parametrize("named", [NPY, "application/npy", "application/x-numpy", "application/octet-stream"])
def test_arrays_by_their_usual_names(empty_world: World, named: str) -> None:
    headers = {"Content-Type": named}
    row = empty_world.client.put("/v1/matrices/m/rows/row", content=npy(ROW), headers=headers)
    assert row.status_code == 201


@pytest.mark.parametrize("named", [PARQUET, "application/parquet", "application/x-parquet"])
def test_parquet_by_its_usual_names(empty_world: World, named: str) -> None:
    table = write_table({"example_id": [f"example-{i}" for i in range(N_EXAMPLES)], "forgetting": ROW})
    row = empty_world.client.put("/v1/matrices/m/rows/row", content=table, headers={"Content-Type": named})
    assert row.status_code == 201


def test_other_names_are_refused_with_those_that_are_taken(empty_world: World) -> None:
    for named in ("text/csv", "image/png", "application/x-www-form-urlencoded"):
        headers = {"Content-Type": named}
        refused = empty_world.client.put("/v1/matrices/m/rows/row", content=npy(np.zeros(3)), headers=headers)
        assert problem(refused) == (415, "unsupported_media_type")
        assert re.search(rf"{re.escape(named)}.*{re.escape(NPY)}", refused.json()["detail"])


def test_json_with_a_suffix_is_json(measured: World) -> None:
    cells = {"setting": SETTING, "recipe": RECIPE, "cells": [{"example_id": "example-1", "forgetting": 0.1}]}
    for named in (JSON, "application/vnd.forgetcast+json", "application/json; charset=utf-8"):
        headers = {"Content-Type": named}
        sent = measured.client.post("/v1/tasks/new/measurements", content=json.dumps(cells), headers=headers)
        assert sent.status_code == 200, sent.text


def test_lists_that_are_short_by_nature_have_pages_too(world: World, settings: Settings) -> None:
    lines = "".join(f'[models.{name}]\nfolder = "{settings.home / "model"}"\n' for name in ("b", "c", "a"))
    settings.models_file.write_text(lines)
    first = world.client.get("/v1/models?limit=2").json()
    rest = world.client.get("/v1/models", params={"limit": 2, "cursor": first["next_cursor"]}).json()
    assert [model["id"] for model in first["data"] + rest["data"]] == ["a", "b", "c"]
    assert (first["has_more"], rest["has_more"]) == (True, False)
    assert world.client.get("/v1/workers?limit=1000").status_code == 200
