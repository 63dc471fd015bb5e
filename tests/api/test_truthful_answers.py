"""An answer says what was done: what is stored, what is not taken over, and what will not happen."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage import jobs
from service.storage.database import Database, now
from service.storage.tables import Job, Measurement
from service.storage.workers import note_worker
from tests.api.conftest import World, make_empty_world
from tests.workers.supervised import eventually


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


def note(database: Database, *hardware: str) -> None:
    with database.transaction() as session:
        note_worker(session, "w", host="h", hardware=[*hardware], gpu=None, version="1", job_id=None)


def test_cells_that_are_stored_are_said_to_be_while_there_is_no_forecast(empty_world: World) -> None:
    empty_world.post_task(id="new", measure="none")
    empty = empty_world.measure("new", empty_world.forgetting[0])
    assert (empty.status_code, empty.headers["location"]) == (202, "/v1/tasks/new/forecast")
    assert (empty.json()["id"], empty.json()["n_measured"], empty.json()["row_version"]) == ("new", 20, 1)
    assert empty.json()["warnings"][0].startswith("matrix_empty: ")
    empty_world.put_row("known", empty_world.forgetting[1])
    key = {"Idempotency-Key": "once"}
    pending = empty_world.measure("new", empty_world.forgetting[0], headers=key)
    assert pending.status_code == 202 and pending.json()["warnings"][0].startswith("fit_pending: ")
    again = empty_world.measure("new", empty_world.forgetting[0], headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.json()["row_version"] == 2
    empty_world.fit()
    assert empty_world.measure("new", empty_world.forgetting[0], headers=key).json()["row_version"] == 2


def test_cells_that_are_not_stored_are_an_error(empty_world: World, database: Database) -> None:
    empty_world.post_task(id="new", measure="none")
    assert empty_world.measure("new", empty_world.forgetting[0], setting={"dtype": "bfloat16"}).status_code == 409
    with database.read() as session:
        assert session.scalars(sa.select(Measurement)).all() == []


def test_a_row_put_again_keeps_what_is_not_said_and_takes_over_what_is(empty_world: World) -> None:
    first, second = empty_world.forgetting[:2]
    empty_world.put_row("r", first, family="a", n_examples=10)
    for again in (empty_world.put_row("r", first), empty_world.put_row("r", second)):
        assert (again.json()["family"], again.json()["n_examples"]) == ("a", 10)
    version = empty_world.client.get("/v1/matrices/m").json()["version"]
    told = empty_world.put_row("r", second, family="b")
    assert (told.status_code, told.json()["family"], told.json()["n_examples"]) == (200, "b", 10)
    assert empty_world.client.get("/v1/matrices/m").json()["version"] == version + 1
    assert (
        empty_world.put_row("r", second, family="b", n_examples=10).json()["row_version"] == told.json()["row_version"]
    )


def ago(**past: float) -> str:
    return (datetime.now(UTC) - timedelta(**past)).isoformat()


def test_a_deadline_that_has_passed_is_refused_where_it_stands(empty_world: World, database: Database) -> None:
    dataset = empty_world.put_dataset()
    refused = empty_world.post_task(id="t", dataset=dataset, size=5, deadline=ago(seconds=5))
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")
    assert refused.json()["errors"][0]["pointer"] == "/deadline"
    assert empty_world.client.get("/v1/tasks/t").status_code == 404
    assert empty_world.post_task(id="t", dataset=dataset, size=5, deadline=ago(hours=-1)).status_code == 202
    attached = empty_world.post_task(id="other", dataset=dataset, size=5, deadline=ago(days=1))
    assert attached.status_code == 422
    empty_world.client.post(f"/v1/jobs/{empty_world.client.get('/v1/tasks/t').json()['job']}/cancel")
    again = empty_world.client.post("/v1/tasks/t/jobs", json={"size": 5, "deadline": ago(minutes=1)})
    assert (again.status_code, again.json()["errors"][0]["pointer"]) == (422, "/deadline")


def test_an_order_that_nobody_would_take_is_warned_of(empty_world: World, database: Database) -> None:
    def order(hardware: str, seed: int) -> Any:
        return empty_world.post_task(dataset=empty_world.put_dataset(), size=5, hardware=hardware, seed=seed)

    assert order("any", 1).json()["warnings"][0].startswith("no_worker: ")
    note(database, "any", "a100")
    assert order("any", 2).json()["warnings"] == order("a100", 3).json()["warnings"] == []
    unknown = order("a1000", 4)
    assert unknown.status_code == 202
    assert unknown.json()["warnings"] == ["no_hardware: no live worker takes jobs for 'a1000'; they take a100, any"]
    empty_world.client.post(f"{unknown.headers['location']}/cancel")
    job = empty_world.client.post(f"/v1/tasks/{unknown.json()['id']}/jobs", json={"size": 5, "hardware": "h100"})
    assert job.json()["warnings"][0].startswith("no_hardware: ")


def test_without_any_worker_an_api_ends_what_nobody_else_would(settings: Settings, database: Database) -> None:
    """A job whose worker died is put back, and one beyond its deadline ends, so that its task may be ordered again."""
    impatient = settings.model_copy(update={"lease": timedelta(seconds=0.5)})
    with TestClient(create_app(impatient, database, NoQueue())) as client:
        world = make_empty_world(client, database)
        dataset = world.put_dataset()
        lost, late = (world.post_task(id=name, dataset=dataset, size=5, seed=n).json() for n, name in enumerate("ab"))
        with database.transaction() as session:
            claimed = jobs.claim(session, "dead", ["any"], timedelta(0))
            assert claimed is not None and claimed.job_id == lost["job"]
            session.execute(sa.update(Job).where(Job.id == late["job"]).values(deadline=now() - 1))
        eventually(lambda: client.get(f"/v1/jobs/{late['job']}").json()["state"] == "failed", 20)
        eventually(lambda: client.get(f"/v1/jobs/{lost['job']}").json()["state"] == "queued", 20)
        assert client.get(f"/v1/jobs/{lost['job']}").json()["attempts"][0]["outcome"] == "worker_lost"
        assert client.post("/v1/tasks/b/jobs", json={"size": 5}).status_code == 202
