"""Tasks that are measured once more: what may repeat what, and what is said of rows that are imported again."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from tests.api.conftest import RECIPE, World
from tests.api.test_bad_input import problem

SHA = "ab" * 32


@pytest.fixture
def repeated(empty_world: World) -> World:
    """A known row and a repeat of it, and a row of another matrix."""
    world = empty_world
    world.put_row("a", world.forgetting[0], family="f", n_examples=640, seed=1, dataset=SHA)
    assert world.put_row("a.again", world.forgetting[0] + 0.01, repeat_of="a", seed=2).status_code == 201
    world.client.post("/v1/matrices", json={"id": "other", "upstream_set": "set", "model": "tiny", "recipe": RECIPE})
    world.post_task(id="elsewhere", matrix="other", measure="none")
    return world


@pytest.mark.parametrize(
    ("task_id", "repeat_of", "code", "words"),
    [
        ("new", "new", "wrong_repeat", "itself"),
        ("a", "a", "wrong_repeat", "itself"),
        ("new", "a.again", "wrong_repeat", "repeats 'a'"),
        ("a", "a.again", "wrong_repeat", "repeats 'a'"),
        ("new", "elsewhere", "wrong_repeat", "'other'"),
        ("new", "absent", "unknown_reference", "'absent'"),
    ],
)
def test_only_another_task_of_the_matrix_that_is_no_repeat_can_be_repeated(
    repeated: World, task_id: str, repeat_of: str, code: str, words: str
) -> None:
    before = repeated.client.get("/v1/tasks").json()
    row = repeated.put_row(task_id, repeated.forgetting[1], repeat_of=repeat_of)
    assert problem(row) == (422, code)
    assert words in row.json()["detail"] and row.json()["errors"][0]["pointer"] == "/repeat_of"
    assert problem(repeated.post_task(id=task_id, measure="none", repeat_of=repeat_of)) == (422, code)
    assert repeated.client.get("/v1/tasks").json() == before


def test_a_known_row_does_not_become_a_repeat_nor_a_repeat_one_of_another_task(repeated: World) -> None:
    repeated.put_row("b", repeated.forgetting[1])
    for task_id in ("a", "a.again"):
        refused = repeated.put_row(task_id, repeated.forgetting[2], repeat_of="b")
        assert problem(refused) == (422, "wrong_repeat")
        assert "another id" in refused.json()["detail"]


def test_the_row_of_a_repeat_is_read_as_known_rows_are_and_is_none(repeated: World) -> None:
    url = "/v1/matrices/m/rows/a.again"
    answer = repeated.client.get(url)
    assert np.array_equal(np.load(io.BytesIO(answer.content)), repeated.forgetting[0] + np.float32(0.01))
    removed = repeated.client.delete(url, headers={"If-Match": answer.headers["etag"]})
    assert problem(removed) == (404, "row_not_found")
    assert np.load(io.BytesIO(repeated.client.get("/v1/matrices/m/rows.npy").content)).shape[0] == 1


def test_what_is_said_of_a_row_is_kept_beside_it(repeated: World) -> None:
    def facts(task_id: str) -> list[Any]:
        task = repeated.client.get(f"/v1/tasks/{task_id}").json()
        return [task[name] for name in ("family", "n_examples", "seed", "dataset", "repeat_of")]

    assert facts("a") == ["f", 640, 1, SHA, None]
    assert facts("a.again") == [None, None, 2, None, "a"]


def test_the_same_values_with_other_facts_are_another_version_and_without_are_none(repeated: World) -> None:
    def version() -> Any:
        return repeated.client.get("/v1/matrices/m").json()["version"]

    row, before = repeated.forgetting[0], version()
    repeated.put_row("a", row)
    repeated.put_row("a", row, family="f", n_examples=640, seed=1, dataset=SHA)
    assert version() == before
    task = repeated.put_row("a", row, family="g", seed=3).json()
    assert (task["family"], task["seed"], task["n_examples"], task["dataset"]) == ("g", 3, 640, SHA)
    assert version() == before + 1
