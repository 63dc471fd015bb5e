"""What was ordered before is not measured again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.storage import tasks
from service.storage.database import Database
from service.storage.tables import Job, Task
from tests.api.conftest import RECIPE, SETTING, World


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Both: on one a second request waits, on the other they run at once."""
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


def give_cells(world: World, task_id: str) -> None:
    """Cells as a worker would have brought them."""
    import numpy as np

    with world.database.transaction() as session:
        task = session.get_one(Task, task_id)
        provenance = {
            "model_revision": "r",
            "recipe": RECIPE,
            "setting": SETTING,
            "seed": 1,
            "source": "",
            "job_id": None,
        }
        tasks.add_measurement(
            session, task, np.arange(5), np.full(5, 0.25), random_positions=np.arange(5), **provenance
        )


def test_the_same_order_is_the_same_task(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    first = empty_world.post_task(dataset=dataset, size=5)
    again = empty_world.post_task(dataset=dataset, size=5)
    assert (first.status_code, again.status_code) == (202, 200)
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["location"] == f"/v1/tasks/{first.json()['id']}"


def test_the_same_order_from_eight_clients_at_once_is_one_task_and_one_job(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    for seed in range(3):
        with ThreadPoolExecutor(8) as clients:
            answers = list(
                clients.map(lambda _, seed=seed: empty_world.post_task(dataset=dataset, seed=seed), range(8))
            )
        assert sorted(answer.status_code for answer in answers) == [200] * 7 + [202]
        assert len({answer.json()["job"] for answer in answers}) == 1
    with empty_world.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 3


def test_another_id_attaches_to_the_job_that_measures_the_same(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    first = empty_world.post_task(id="first", dataset=dataset, size=5)
    second = empty_world.post_task(id="second", dataset=dataset, size=5)
    assert (second.status_code, second.headers["location"]) == (202, first.headers["location"])
    assert second.json()["job"] == first.json()["job"]
    assert empty_world.client.get("/v1/tasks/second").json()["job"] == first.json()["job"]
    waiting = empty_world.client.get("/v1/tasks/second/forecast")
    assert (waiting.json()["code"], waiting.headers["location"]) == ("not_measured", first.headers["location"])


def test_other_probes_are_another_task(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    first = empty_world.post_task(dataset=dataset, size=5)
    other = empty_world.post_task(dataset=dataset, size=5, probe_seed=1)
    assert other.status_code == 202
    assert other.json()["id"] != first.json()["id"]


def test_another_id_shares_the_cells_that_are_there(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    empty_world.post_task(id="first", dataset=dataset, size=5)
    give_cells(empty_world, "first")
    second = empty_world.post_task(id="second", dataset=dataset, size=5)
    assert second.status_code == 201
    assert (second.json()["n_measured"], second.json()["job"]) == (5, None)


def test_the_same_id_with_other_content_is_a_conflict(empty_world: World) -> None:
    empty_world.post_task(id="new", dataset=empty_world.put_dataset(), size=5)
    same = empty_world.post_task(id="new", dataset=empty_world.put_dataset(), size=5)
    other = empty_world.post_task(id="new", dataset=empty_world.put_dataset([{"text": "another"}]), size=5)
    assert same.status_code == 200
    assert (other.status_code, other.json()["code"]) == (409, "task_exists")


def test_the_same_id_said_to_be_something_else_is_a_conflict(empty_world: World) -> None:
    """Also without data, where nothing else could tell two tasks apart."""
    empty_world.post_task(id="own", measure="none", n_examples=500, family="f")
    for same in ({}, {"n_examples": 500}, {"family": "f"}):
        assert empty_world.post_task(id="own", measure="none", **same).status_code == 200
    for other in ({"n_examples": 7}, {"family": "g"}):
        answer = empty_world.post_task(id="own", measure="none", **other)
        assert (answer.status_code, answer.json()["code"]) == (409, "task_exists")


def test_a_task_has_one_active_job(empty_world: World) -> None:
    empty_world.post_task(id="new", dataset=empty_world.put_dataset(), size=5)
    second = empty_world.client.post("/v1/tasks/new/jobs", json={"measure": "examples", "examples": ["example-3"]})
    assert (second.status_code, second.json()["code"]) == (409, "job_active")
    assert second.headers["location"].startswith("/v1/jobs/job_")


def test_the_same_row_again_changes_no_version(empty_world: World) -> None:
    for _ in range(2):
        empty_world.put_row("known", empty_world.forgetting[0])
    assert empty_world.client.get("/v1/matrices/m").json()["version"] == 1
    empty_world.put_row("known", empty_world.forgetting[1])
    assert empty_world.client.get("/v1/matrices/m").json()["version"] == 2


def test_a_repeat_is_no_known_row(empty_world: World) -> None:
    empty_world.put_row("known", empty_world.forgetting[0])
    repeat = empty_world.put_row("known.repeat", empty_world.forgetting[0] + 0.01, repeat_of="known", seed=2)
    assert (repeat.status_code, repeat.json()["known"]) == (201, False)
    assert empty_world.client.get("/v1/matrices/m").json()["n_tasks"] == 1


def test_a_removed_row_stays_in_the_versions_that_had_it(empty_world: World) -> None:
    empty_world.put_row("known", empty_world.forgetting[0])
    url = "/v1/matrices/m/rows/known"
    etag = empty_world.client.get(url).headers["etag"]
    stale = empty_world.client.delete(url, headers={"If-Match": '"99"'})
    assert (stale.status_code, stale.json()["code"]) == (412, "version_changed")
    assert empty_world.client.delete(url, headers={"If-Match": etag}).status_code == 204
    matrix = empty_world.client.get("/v1/matrices/m").json()
    assert (matrix["version"], matrix["n_tasks"]) == (2, 0)
    assert empty_world.client.get("/v1/tasks/known").json()["known"] is False


def test_a_name_is_kept_for_people_and_is_no_part_of_what_a_task_is(empty_world: World) -> None:
    dataset = empty_world.put_dataset()
    first = empty_world.post_task(dataset=dataset, size=5, name="squad.jsonl").json()
    again = empty_world.post_task(dataset=dataset, size=5, name="other.jsonl").json()
    assert (first["id"], first["name"]) == (again["id"], again["name"]) == (first["id"], "squad.jsonl")
    assert empty_world.client.get("/v1/tasks").json()["data"][0]["name"] == "squad.jsonl"
    refused = empty_world.post_task(dataset=dataset, size=6, name="two\nlines")
    assert refused.status_code == 422 and refused.json()["errors"][0]["pointer"] == "/name"
