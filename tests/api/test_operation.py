"""What an operator asks: whether it is ready, who works, what waits."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.api import health, looking
from service.api.dependencies import Parts
from service.app import create_app
from service.queue import RedisQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.schema import migrate
from service.storage.workers import note_worker
from tests.api.conftest import World, make_empty_world
from tests.api.test_analysis import fail_fit
from tests.storage.rows import add_job


@pytest.fixture
def migrated(tmp_path: Any) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path / 'migrated.db'}")
    migrate(database)
    yield database
    database.close()


@pytest.fixture
def ready_client(settings: Settings, migrated: Database) -> Iterator[TestClient]:
    # A queue that nobody serves: port 9 discards.
    with TestClient(create_app(settings, migrated, RedisQueue("redis://127.0.0.1:9"))) as client:
        yield client


def parts(client: TestClient) -> Parts:
    found: Parts = client.app.state.parts  # type: ignore[attr-defined]
    return found


def note(database: Database, job_id: str | None = None) -> None:
    with database.transaction() as session:
        note_worker(session, "w", host="gpu-1", hardware=["a100", "any"], gpu="GPU-0", version="1", job_id=job_id)


def test_without_tables_it_is_not_ready_and_says_what_to_run(client: TestClient) -> None:
    answer = client.get("/readyz")
    assert answer.status_code == 503
    assert "forgetcast migrate" in answer.json()["missing"][0]


def test_a_missing_queue_and_a_missing_worker_are_warnings(ready_client: TestClient) -> None:
    answer = ready_client.get("/readyz")
    assert answer.status_code == 200
    assert answer.json() == {"ready": True, "missing": [], "warnings": [health.NO_WORKER, health.NO_QUEUE]}


def test_a_worker_that_was_seen_takes_its_warning_away(ready_client: TestClient, migrated: Database) -> None:
    note(migrated)
    assert ready_client.get("/readyz").json()["warnings"] == [health.NO_QUEUE]


def test_an_ending_process_is_not_ready(ready_client: TestClient) -> None:
    parts(ready_client).draining.set()
    answer = ready_client.get("/readyz")
    assert answer.status_code == 503 and "ending" in answer.json()["missing"][0]


def test_probes_answer_while_the_database_hangs(ready_client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "PATIENCE", 0.2)
    hangs, entered = threading.Event(), []

    def check(_database: Database) -> None:
        entered.append(threading.current_thread())
        hangs.wait(60)

    monkeypatch.setattr(health, "check_schema", check)
    try:
        for _ in range(3):
            began = time.monotonic()
            answer = ready_client.get("/readyz")
            assert answer.status_code == 503 and answer.json()["missing"] == [health.NO_ANSWER]
            assert time.monotonic() - began < 30
            assert ready_client.get("/healthz").status_code == 200
        assert len(entered) == 1  # one thread hangs, however often it is asked
    finally:
        hangs.set()
    entered[0].join(30)
    assert ready_client.get("/readyz").status_code == 200


def test_models_are_listed_with_their_revision_once_it_is_known(client: TestClient) -> None:
    assert client.get("/v1/models").json()["data"] == [{"id": "tiny", "revision": None}]
    parts(client).models().revision("tiny")
    (model,) = client.get("/v1/models").json()["data"]
    assert len(model["revision"]) == 64


def test_workers_are_listed_with_their_job(client: TestClient, database: Database) -> None:
    note(database, "job_1")
    (worker,) = client.get("/v1/workers").json()["data"]
    assert (worker["id"], worker["host"], worker["gpu"], worker["job"]) == ("w", "gpu-1", "GPU-0", "job_1")
    assert worker["alive"] is True and worker["seen_at"].endswith("Z")


def test_the_queue_says_what_waits(world: World) -> None:
    world.post_task(id="t", dataset=world.put_dataset(), hardware="a100", priority=3)
    queue = world.client.get("/v1/queue").json()
    (waiting,) = queue["waiting"]
    assert (waiting["hardware"], waiting["priority"], waiting["n_jobs"]) == ("a100", 3, 1)
    assert waiting["starts_in_s"] is None and queue["oldest_age_s"] >= 0


def test_gauges_name_only_hardware_that_workers_have(ready_client: TestClient, migrated: Database) -> None:
    note(migrated)
    with migrated.transaction() as session:
        for hardware in ("a100", "made-up-1", "made-up-2"):
            add_job(session, hardware=hardware)
    page = ready_client.get("/metrics").text
    assert 'forgetcast_queue_depth{hardware="a100"} 1.0' in page
    assert 'forgetcast_queue_depth{hardware="other"} 2.0' in page
    assert "made-up" not in page
    assert 'forgetcast_workers{state="idle"} 1.0' in page and "forgetcast_database_up 1.0" in page


def test_fits_that_failed_are_counted_for_the_whole_deployment(ready_client: TestClient, migrated: Database) -> None:
    fail_fit(make_empty_world(ready_client, migrated))
    assert "\nforgetcast_fits_failed 1.0\n" in ready_client.get("/metrics").text
