"""An upstream example of which nothing can be measured is found once, named by its id, and stops nothing else."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any, NamedTuple

import numpy as np
import pyarrow.parquet
import pytest
from numpy.typing import NDArray

from forgetcast.marks import NOTHING_TO_SCORE
from service.operations.job_material import read_job_material, store_result
from service.storage import jobs
from service.storage.attempts import ChildEnd
from tests.api.conftest import N_EXAMPLES, World, json_lines
from tests.api.test_bad_input import problem

BAD = ("example-0", "example-7", "example-40")


class Result(NamedTuple):
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    report: dict[str, Any]


def work(world: World) -> list[str]:
    """What a worker does with the next job: it measures what can be; the ids it was asked for."""
    with world.database.transaction() as session:
        claimed = jobs.claim(session, "worker", ["any"], timedelta(minutes=1))
        assert claimed is not None
        material = read_job_material(session, claimed.job_id)
        ids = [example_id for example_id, _content in material.upstream]
        before = np.where(np.isin(ids, BAD), NOTHING_TO_SCORE, 1.0).astype(np.float32)
        after = np.where(np.isin(ids, BAD), NOTHING_TO_SCORE, 1.5).astype(np.float32)
        assert store_result(session, claimed.job_id, claimed.fence, Result(before, after, {}), ChildEnd(0))
    return ids


@pytest.fixture
def found(world: World) -> World:
    """A world in which a first task has met them all, fitted anew."""
    before = world.client.get("/v1/tasks/known-3/forecast")
    world.post_task(id="first", dataset=world.put_dataset(), measure="probe", design="random", size=N_EXAMPLES)
    assert set(BAD) <= set(work(world))
    world.fit()
    after = world.client.get("/v1/tasks/known-3/forecast")
    assert before.headers["etag"] != after.headers["etag"]
    return world


def test_the_task_that_found_them_has_all_its_other_cells(found: World) -> None:
    assert found.client.get("/v1/tasks/first").json()["n_measured"] == N_EXAMPLES - len(BAD)
    matrix = found.client.get("/v1/matrices/m").json()
    assert (matrix["n_examples"], matrix["n_unmeasurable"]) == (N_EXAMPLES, len(BAD))


@pytest.mark.parametrize("design", ["random", "mixed", "optimal"])
def test_they_are_never_probed_again(found: World, design: str) -> None:
    most = N_EXAMPLES - len(BAD)
    asked = found.client.get("/v1/matrices/m/probe-set", params={"size": most, "design": design}).json()
    ids = [probe["example_id"] for probe in asked["data"]]
    assert len(set(ids)) == most and not set(BAD) & set(ids)
    found.post_task(id="second", dataset=found.put_dataset([{"text": "other"}]), design=design, size=most)
    assert not set(BAD) & set(work(found))
    too_many = found.client.get("/v1/matrices/m/probe-set", params={"size": most + 1, "design": design})
    assert problem(too_many) == (422, "too_many_examples_asked")


def test_an_order_that_names_one_is_refused_by_its_id(found: World) -> None:
    order = {"measure": "examples", "examples": ["example-1", "example-7"]}
    answer = found.client.post("/v1/tasks/first/jobs", json=order)
    assert problem(answer) == (422, "invalid_request")
    assert "'example-7' has nothing to score" in answer.json()["detail"]


def test_they_have_no_forecast_in_any_form(found: World) -> None:
    client = found.client
    forecast = client.get("/v1/tasks/first/forecast").json()
    assert sum(domain["n_examples"] for domain in forecast["domains"]) == N_EXAMPLES - len(BAD)
    (warning,) = [warning for warning in forecast["warnings"] if warning.startswith("unmeasurable: 3 ")]
    assert warning.endswith("such as 'example-0'")
    assert forecast["row_mean"]["mean"] == pytest.approx(0.5)
    top = client.get("/v1/tasks/first/forgotten", params={"k": 1000}).json()["data"]
    assert len(top) == N_EXAMPLES - len(BAD) and not set(BAD) & {one["example_id"] for one in top}
    lines = map(json.loads, client.get("/v1/tasks/first/forgetting.jsonl").text.splitlines())
    assert tuple(line["example_id"] for line in lines if line["forgetting"] is None) == BAD
    row = np.load(io.BytesIO(client.get("/v1/tasks/first/forgetting.npy").content))
    assert np.flatnonzero(np.isnan(row)).tolist() == [0, 7, 40]
    table = pyarrow.parquet.read_table(io.BytesIO(client.get("/v1/tasks/first/forgetting.parquet").content))
    assert table["forgetting"].null_count == table["high"].null_count == len(BAD)


def test_they_are_never_replayed(found: World) -> None:
    answer = found.client.get("/v1/tasks/first/replay-set", params={"size": 60, "strategy": "uniform"}).json()
    assert not set(BAD) & {one["id"] for one in answer["data"]}


def test_a_full_measuring_is_a_known_row_without_them(found: World) -> None:
    found.post_task(id="full", dataset=found.put_dataset([{"text": "other"}]), measure="full")
    assert len(work(found)) == N_EXAMPLES
    found.fit()
    row = np.load(io.BytesIO(found.client.get("/v1/matrices/m/rows/full").content))
    assert np.flatnonzero(np.isnan(row)).tolist() == [0, 7, 40]
    assert found.client.get("/v1/tasks/full/forecast").status_code == 200


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ({"text": ""}, "line 2, field text: the example 'bad' has an empty text"),
        ({"messages": []}, "line 2, field messages: the example 'bad' has no messages"),
    ],
)
def test_what_its_text_alone_shows_is_refused_at_upload_with_line_and_id(
    world: World, content: dict[str, Any], said: str
) -> None:
    world.client.post("/v1/upstream-sets", json={"id": "new"})
    lines = json_lines([{"id": "good", "text": "a"}, {"id": "bad", **content}])
    answer = world.client.put("/v1/upstream-sets/new/examples", content=lines)
    assert problem(answer) == (422, "invalid_request")
    assert said in answer.json()["detail"]
    assert world.client.get("/v1/upstream-sets/new").json()["sealed"] is False
