"""Bodies: what is asked before them, how large they may be, and how much is said of what is wrong with them."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from typing import Any

import pytest
from fastapi.testclient import TestClient

from forgetcast.errors import InvalidRequest, LimitExceeded
from forgetcast.schemas import Cell, MeasurementsCreate, Scope
from forgetcast.strict_json import MOST_NAMES
from service.api.large_documents import LargeDocument
from service.api.problems import MOST_NAMED
from service.storage.database import Database
from tests.api.conftest import N_EXAMPLES, RECIPE, SETTING, World, json_lines
from tests.api.test_bad_input import problem
from tests.api_keys import create_key

JSON = {"Content-Type": "application/json"}
MEASUREMENTS = LargeDocument(MeasurementsCreate, "cells", Cell)


def posted(n_cells: int, **fields: Any) -> dict[str, Any]:
    cells = [{"example_id": f"example-{place}", "forgetting": 0.001 * place} for place in range(n_cells)]
    return {"setting": SETTING, "recipe": RECIPE, "cells": cells, **fields}


def read(content: bytes, most: int = 100) -> MeasurementsCreate:
    return MEASUREMENTS.read(io.BytesIO(content), most)


def test_the_scope_is_asked_for_before_the_body_is_read(client: TestClient, database: Database) -> None:
    with database.transaction() as session:
        key = create_key(session, "reader", [Scope.READ])
    for path in ("/v1/tasks", "/v1/upstream-sets", "/v1/matrices", "/v1/tasks/x/measurements", "/v1/tasks/x/jobs"):
        answer = client.post(path, content=b"{no JSON", headers=JSON | {"Authorization": f"Bearer {key}"})
        assert problem(answer) == (403, "forbidden"), path


@pytest.mark.parametrize("path", ["/v1/tasks/new/measurements", "/v1/matrices/m/rows/new"])
def test_an_upload_is_as_large_as_the_set_may_need(empty_world: World, path: str) -> None:
    """A megabyte is admitted, and eighty examples need less."""
    empty_world.post_task(id="new", measure="none")
    method = "POST" if path.endswith("measurements") else "PUT"
    headers = JSON if method == "POST" else {"Content-Type": "application/x-ndjson"}
    answer = empty_world.client.request(method, path, content=b" " * 900_000, headers=headers)
    assert problem(answer) == (413, "limit_exceeded")


@pytest.mark.parametrize(
    ("path", "code"), [("/v1/tasks/x/measurements", "task_not_found"), ("/v1/nothing/measurements", "route_not_found")]
)
def test_nothing_is_read_for_what_is_not_there(client: TestClient, path: str, code: str) -> None:
    assert problem(client.post(path, content=b"{no JSON", headers=JSON)) == (404, code)


def test_more_cells_than_examples_are_refused(world: World) -> None:
    world.post_task(id="new", measure="none")
    answer = world.client.post("/v1/tasks/new/measurements", json=posted(N_EXAMPLES + 1))
    assert problem(answer) == (422, "limit_exceeded")


def test_other_than_json_is_no_measurements(world: World) -> None:
    world.post_task(id="new", measure="none")
    answer = world.client.post("/v1/tasks/new/measurements", content=b"x", headers={"Content-Type": "text/csv"})
    assert problem(answer) == (415, "unsupported_media_type")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/tasks", {f"name-{place}": 1 for place in range(900)}),
        ("/v1/tasks", {f"name-{place}": 1 for place in range(MOST_NAMES + 1)}),
        ("/v1/tasks/new/jobs", {"measure": "examples", "examples": [""] * 20_000}),
        ("/v1/tasks/new/measurements", posted(0, cells=[1] * 80)),
        ("/v1/tasks/new/measurements", posted(0, cells=[{"example_id": "", "x": 1, "y": 2}] * 80)),
        ("/v1/matrices", {"recipe": RECIPE | {"lora": {"rank": 1, "alpha": 1, "target_modules": [1] * 20_000}}}),
        ("/v1/api-keys", {"name": "x", "scopes": [1] * 20_000}),
    ],
)
def test_of_what_is_wrong_with_a_body_a_few_dozen_are_named(empty_world: World, path: str, body: Any) -> None:
    empty_world.post_task(id="new", measure="none")
    answer = empty_world.client.post(path, json=body)
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) <= MOST_NAMED
    assert len(answer.content) < 20_000


@pytest.mark.parametrize(
    "line", [{"id": "a", "messages": [1] * 100_000}, {"id": "a", **{f"name-{place}": 1 for place in range(20_000)}}]
)
def test_nor_is_all_that_is_wrong_with_a_line_collected(client: TestClient, line: Any) -> None:
    client.post("/v1/upstream-sets", json={"id": "set"})
    began = time.process_time()
    answer = client.put("/v1/upstream-sets/set/examples", content=json_lines([line]))
    assert problem(answer) == (422, "invalid_request") and "line 1" in answer.json()["detail"]
    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[]",
        b"{",
        b'{"cells": [',
        b'{"cells": [1 2]}',
        b'{"cells": [{}],}',
        b'{"cells" []}',
        b"{1: 2}",
        b'{"cells": []} x',
        b'{"source": NaN}',
        b"\xff",
        b"[" * 100_000,
        b'{"cells": ' + b"[" * 100_000,
    ],
)
def test_what_is_no_document_is_said(content: bytes) -> None:
    with pytest.raises(InvalidRequest):
        read(content)


@pytest.mark.parametrize(
    "content", ['{"source": "a", "source": "b"}', '{"cells": [{"example_id": "a", "forgetting": 1, "forgetting": 2}]}']
)
def test_a_name_stands_once_in_an_object(content: str) -> None:
    with pytest.raises(InvalidRequest, match="stands twice"):
        read(content.encode())


def test_a_document_is_read_as_a_parser_reads_it() -> None:
    wanted = posted(50, source='é \\ "x" [,]{:}', probes_at_random=False)
    whole = MeasurementsCreate.model_validate(wanted)
    for indent in (None, 3):
        assert read(json.dumps(wanted, indent=indent).encode()) == whole
    with pytest.raises(LimitExceeded):
        read(json.dumps(wanted).encode(), most=49)


def test_the_first_things_that_are_wrong_are_named_with_their_places() -> None:
    cells = [{"example_id": f"e{place}", "forgetting": "x" if place in (2, 4) else 1.0} for place in range(6)]
    with pytest.raises(InvalidRequest) as refused:
        read(json.dumps(posted(0, cells=cells)).encode())
    assert [found.pointer for found in refused.value.errors] == ["/cells/2/forgetting", "/cells/4/forgetting"]


def test_reading_a_large_document_lets_other_threads_run() -> None:
    """A parser that reads all of it at once would keep them waiting from its beginning to its end."""
    content = json.dumps(posted(150_000)).encode()
    ticks: list[float] = []
    ended = threading.Event()

    def tick() -> None:
        while not ended.wait(0.001):
            ticks.append(time.monotonic())

    ticking = threading.Thread(target=tick)
    ticking.start()
    began = time.monotonic()
    read(content, most=150_000)
    took = time.monotonic() - began
    ended.set()
    ticking.join()
    longest = max(later - earlier for earlier, later in zip([began, *ticks], ticks, strict=False))
    assert longest < max(took / 2, 20 * sys.getswitchinterval())


@pytest.mark.parametrize(
    ("path", "content"),
    [
        ("/v1/tasks", '{"matrix": "m", "measure": "none", "matrix": "other"}'),
        ("/v1/tasks", '{"matrix": "m", "measure": "none", "seed": NaN}'),
        ("/v1/matrices", '{"recipe": {"steps": 1, "steps": 2}}'),
    ],
)
def test_json_is_read_strictly(empty_world: World, path: str, content: str) -> None:
    answer = empty_world.client.post(path, content=content, headers=JSON)
    assert problem(answer) == (422, "invalid_request")
    assert "stands twice" in answer.json()["detail"] or "NaN" in answer.json()["detail"]


def test_a_line_of_an_upload_is_read_strictly(client: TestClient) -> None:
    client.post("/v1/upstream-sets", json={"id": "set"})
    answer = client.put("/v1/upstream-sets/set/examples", content=b'{"id": "a"}\n{"id": "b", "id": "c"}\n')
    assert problem(answer) == (422, "invalid_request") and "line 2" in answer.json()["detail"]
