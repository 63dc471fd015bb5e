"""What Prometheus reads of the API."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from forgetcast.schemas import Scope
from service import metrics
from service.storage import jobs
from service.storage.database import Database
from tests.api.conftest import World
from tests.api_keys import create_key
from tests.storage.rows import add_job

LEASE = timedelta(minutes=1)


@pytest.fixture
def value(client: TestClient) -> Callable[..., float]:
    """A sample by name and labels, as it stands on the page; 0 when it is not there."""

    def read(name: str, **labels: str) -> float:
        page = client.get("/metrics")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/plain; version=0.0.4")
        found = [
            sample.value
            for family in text_string_to_metric_families(page.text)
            for sample in family.samples
            if sample.name == name and sample.labels == labels
        ]
        return found[0] if found else 0.0

    return read


def test_requests_are_counted_by_route_template(client: TestClient, value: Callable[..., float]) -> None:
    labels = {"method": "GET", "handler": "/v1/tasks/{task_id}", "status": "404"}
    before = value("http_requests_total", **labels)
    client.get("/v1/tasks/one")
    client.get("/v1/tasks/two")
    assert value("http_requests_total", **labels) == before + 2


def test_jobs_are_counted_by_state_and_error_once_committed(database: Database, value: Callable[..., float]) -> None:
    queued, again = value("forgetcast_jobs_total", status="queued", code=""), {"status": "queued", "code": "gpu_oom"}
    before = value("forgetcast_jobs_total", **again)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        add_job(session)
        raise ZeroDivisionError
    assert value("forgetcast_jobs_total", status="queued", code="") == queued
    with database.transaction() as session:
        add_job(session)
    assert value("forgetcast_jobs_total", status="queued", code="") == queued + 1
    with database.transaction() as session:
        claimed = jobs.claim(session, "owner", ["any"], LEASE)
        assert claimed is not None
        jobs.release(session, claimed.job_id, claimed.fence, {"code": "gpu_oom", "detail": "no"}, permanent=False)
    assert value("forgetcast_jobs_total", **again) == before + 1


def test_folding_in_a_row_is_timed_and_a_row_in_memory_is_not(world: World, value: Callable[..., float]) -> None:
    world.post_task(id="t", measure="none")
    world.measure("t", world.forgetting[0])
    (method,) = {world.client.get("/v1/tasks/t/forecast").json()["method"]}
    before = value("forgetcast_completion_duration_seconds_count", method=method)
    world.client.get("/v1/tasks/t/forecast")
    assert before >= 1
    assert value("forgetcast_completion_duration_seconds_count", method=method) == before


def test_the_page_needs_a_key_that_reads_once_there_is_one(client: TestClient, database: Database) -> None:
    with database.transaction() as session:
        key = create_key(session, "prometheus", [Scope.READ])
    assert client.get("/metrics").status_code == 401
    assert client.get("/metrics", headers={"Authorization": f"Bearer {key}"}).status_code == 200


def test_labels_have_few_values_whatever_is_counted() -> None:
    keep = metrics.ShortList()
    kept = {keep(f"code_{number}") for number in range(1000)}
    assert len(kept) == metrics.MOST_VALUES + 1 and metrics.OTHER in kept


def test_names_are_in_base_units_and_say_what_they_count(client: TestClient) -> None:
    names = re.findall(r"^# TYPE (forgetcast_\w+) (\w+)$", client.get("/metrics").text, re.MULTILINE)
    assert len(names) > 8
    for name, kind in names:
        if kind == "counter":
            assert name.endswith("_total")
        if kind == "histogram":
            assert name.endswith("_seconds")
