"""One line and one count for every request."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service import metrics
from service.storage.database import Database
from tests.api.conftest import World
from tests.api_keys import create_key


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Any:
    """The access log's lines so far, each as its fields."""
    caplog.set_level(logging.INFO, "service.api.access_log")
    return lambda: [vars(record) for record in caplog.records if record.name == "service.api.access_log"]


def count(method: str, handler: str, status: int) -> float:
    labels = {"method": method, "handler": handler, "status": str(status)}
    return metrics.REGISTRY.get_sample_value("http_requests_total", labels) or 0.0


def test_a_request_is_one_line_with_its_route_and_not_its_path(client: TestClient, lines: Any) -> None:
    client.get("/v1/tasks/no-such-task/forgotten?domain=secret")
    (line,) = lines()
    assert (line["method"], line["route"], line["status"]) == ("GET", "/v1/tasks/{task_id}/forgotten", 404)
    assert line["task_id"] == "no-such-task" and 0 <= line["seconds"] < 60
    assert "secret" not in str(line)


def test_a_request_without_a_route_is_counted_under_one_name(client: TestClient, lines: Any) -> None:
    before = count("GET", "unknown", 404)
    for path in ("/a", "/b", "/c"):
        client.get(path)
    client.request("BREW", "/d")
    assert [line["route"] for line in lines()] == ["unknown"] * 4
    assert count("GET", "unknown", 404) == before + 3
    assert lines()[-1]["method"] == "other"


def test_a_request_with_a_key_names_its_id_alone(client: TestClient, database: Database, lines: Any) -> None:
    with database.transaction() as session:
        key = create_key(session, "ci", [Scope.READ])
    assert client.get("/v1/tasks", headers={"Authorization": f"Bearer {key}"}).status_code == 200
    (line,) = lines()
    assert line["key_id"] == key.split("_")[1]
    assert key.split("_")[2] not in str(line)


def test_probes_that_succeed_write_no_line(client: TestClient, lines: Any) -> None:
    before = count("GET", "/healthz", 200)
    assert client.get("/healthz").status_code == 200
    assert lines() == [] and count("GET", "/healthz", 200) == before + 1


def test_a_failure_inside_is_a_line_with_status_500(
    client: TestClient, lines: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.api.tasks.tasks.list_tasks", lambda *_: 1 / 0)
    assert client.get("/v1/tasks").status_code == 500
    assert [line["status"] for line in lines()] == [500]


def test_a_new_job_is_a_line_with_its_ids(world: World, caplog: pytest.LogCaptureFixture, client: TestClient) -> None:
    caplog.set_level(logging.INFO, "service.storage.events")
    posted = world.post_task(id="t", dataset=world.put_dataset())
    assert posted.status_code == 202, posted.text
    (line,) = [vars(record) for record in caplog.records if record.name == "service.storage.events"]
    assert posted.headers["location"].endswith(line["job_id"])
    assert (line["task_id"], line["state"], line["attempt"]) == ("t", "queued", 0)
