"""Uploads, events and waiting."""

from __future__ import annotations

import json
import threading
import time
from datetime import timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.storage import jobs
from service.storage.database import Database
from tests.api.conftest import World

LEASE = timedelta(seconds=30)


@pytest.fixture
def job_id(empty_world: World) -> str:
    """A queued job."""
    submitted = empty_world.post_task(id="new", dataset=empty_world.put_dataset(), size=5)
    assert submitted.status_code == 202
    assert submitted.headers["location"] == f"/v1/jobs/{submitted.json()['job']}"
    assert int(submitted.headers["retry-after"]) >= 1
    return str(submitted.json()["job"])


def run(database: Database, *, pause: float = 0.0) -> None:
    """Do what a worker does to a job's row, without the work."""
    with database.transaction() as session:
        claimed = jobs.claim(session, "a worker", ["any"], LEASE)
    assert claimed is not None
    for step in (1, 2):
        time.sleep(pause)
        progress = {"phase": "fine_tune", "step": step, "total": 2, "loss": 1.5, "eta_s": 0.0}
        with database.transaction() as session:
            jobs.beat(session, claimed.job_id, claimed.fence, LEASE, progress)
    time.sleep(pause)
    with database.transaction() as session:
        assert jobs.finish(session, claimed.job_id, claimed.fence, {"seconds": {"fine_tune": 1.0}})


def stream(client: TestClient, job_id: str, **headers: str) -> list[dict[str, Any]]:
    """All server-sent events until the service closes the stream."""
    url, accept = f"/v1/jobs/{job_id}/events", {"Accept": "text/event-stream"}
    with client.stream("GET", url, headers=accept | headers) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = "".join(answer.iter_text()).strip().split("\n\n")
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_events_end_after_the_last_one(client: TestClient, database: Database, job_id: str) -> None:
    run(database)
    events = stream(client, job_id)
    assert [event["event"] for event in events] == ["state", "state", "progress", "progress", "state", "done"]
    assert json.loads(events[-1]["data"]) == {"state": "succeeded"}
    assert [json.loads(event["data"])["data"]["step"] for event in events if event["event"] == "progress"] == [1, 2]


def test_a_stream_that_broke_off_goes_on_after_the_last_event_seen(
    client: TestClient, database: Database, job_id: str
) -> None:
    run(database)
    seen = stream(client, job_id)
    rest = stream(client, job_id, **{"Last-Event-ID": seen[2]["id"]})
    assert rest == seen[3:]


def test_events_can_be_listed_page_by_page(client: TestClient, database: Database, job_id: str) -> None:
    run(database)
    url = f"/v1/jobs/{job_id}/events"
    first = client.get(url, params={"limit": 3}).json()
    rest = client.get(url, params={"limit": 3, "cursor": first["next_cursor"]}).json()
    assert [event["type"] for event in first["data"] + rest["data"]] == [
        "state",
        "state",
        "progress",
        "progress",
        "state",
    ]
    assert (first["has_more"], rest["has_more"], rest["next_cursor"]) == (True, False, None)


def test_waiting_ends_when_the_job_does(client: TestClient, database: Database, job_id: str) -> None:
    worker = threading.Thread(target=run, args=(database,), kwargs={"pause": 0.3})
    worker.start()
    began = time.monotonic()
    job = client.get(f"/v1/jobs/{job_id}", params={"wait": 25}).json()
    worker.join()
    assert (job["state"], job["terminal"]) == ("succeeded", True)
    assert time.monotonic() - began < 20


def test_waiting_ends_at_its_time_when_the_job_does_not(client: TestClient, job_id: str) -> None:
    began = time.monotonic()
    job = client.get(f"/v1/jobs/{job_id}", params={"wait": 1}).json()
    assert (job["state"], job["terminal"]) == ("queued", False)
    assert time.monotonic() - began >= 1


def test_a_queued_job_is_cancelled_at_once_and_only_once(client: TestClient, job_id: str) -> None:
    cancelled = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (cancelled.status_code, cancelled.json()["state"]) == (202, "cancelled")
    again = client.post(f"/v1/jobs/{job_id}/cancel")
    assert (again.status_code, again.json()["code"]) == (409, "job_ended")
