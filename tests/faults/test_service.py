"""API processes and workers that are stopped and restarted under load, left by their clients, or run twice at once."""

from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import httpx2
import psutil
import pytest
import sqlalchemy as sa

from service.storage.database import Database
from service.storage.tables import Event
from tests.faults.deployment import LEASE, Api, Deployment
from tests.faults.ledger import all_ended, assert_succeeded_once, ended, error_codes, events, row
from tests.faults.stage import Servers
from tests.workers.processes import alive
from tests.workers.supervised import eventually

TTL = LEASE.total_seconds()
BUSY = 10.0  # seconds more than promised, on a busy machine


@pytest.mark.fault(18)
def test_a_stopped_api_finishes_what_is_in_flight_and_loses_nothing_it_accepted(deployment: Deployment) -> None:
    api, accepted = deployment.api(), []

    def submit() -> None:
        """Until the API is gone: whatever it answers is a whole answer, and what it accepted is kept."""
        while True:
            try:
                answer = api.post_task("slow:0")
            except httpx2.ConnectError:
                return
            assert answer.status_code == 202, answer.text
            accepted.append(answer.json()["job"])

    with ThreadPoolExecutor(4) as pool:
        submitting = [pool.submit(submit) for _ in range(4)]
        eventually(lambda: len(accepted) > 10)
        stopped_at = time.monotonic()
        api.stop()
        assert time.monotonic() - stopped_at < 30
        for one in submitting:
            one.result()
    assert {row(deployment.database, job_id).state for job_id in accepted} == {"queued"}


@pytest.mark.fault(18)
def test_a_stopped_worker_gives_its_job_back_and_takes_no_other(deployment: Deployment) -> None:
    worker = deployment.worker()
    job_ids = [deployment.submit("slow:600"), deployment.submit("slow:0")]
    pid = deployment.child(job_ids[0])
    assert worker.stop() == 0
    assert not alive(pid)
    for job_id in job_ids:
        job = row(deployment.database, job_id)
        assert (job.state, job.attempt, job.error) == ("queued", 0, None)
    assert len(deployment.starts()) == 1


@pytest.mark.fault(18)
def test_a_rolling_restart_of_everything_under_load_loses_nothing(deployment: Deployment) -> None:
    apis = [deployment.api() for _ in range(2)]
    workers = [deployment.worker(host=str(place)) for place in range(2)]
    accepted: list[str] = []
    stop = threading.Event()

    def submit() -> None:
        while not stop.wait(1):
            for api in apis:
                try:
                    answer = api.post_task("slow:0.3")
                except httpx2.ConnectError:
                    continue
                assert answer.status_code == 202, answer.text
                accepted.append(answer.json()["job"])
                break

    with ThreadPoolExecutor(1) as pool:
        submitting = pool.submit(submit)
        try:
            for place in range(2):
                eventually(lambda: len(accepted) > 2)
                apis[place].stop()
                apis[place] = deployment.api()
                assert workers[place].stop() == 0
                workers[place] = deployment.worker(host=str(place))
        finally:
            stop.set()
        submitting.result()
    jobs = all_ended(deployment.database)
    assert {job.id for job in jobs} == set(accepted)
    assert {(job.state, job.attempt) for job in jobs} == {("succeeded", 1)}


@pytest.mark.fault(20)
def test_three_reapers_at_once_put_a_job_back_once(deployment: Deployment) -> None:
    worker = deployment.worker()
    job_id = deployment.submit("slow:1")
    deployment.child(job_id)
    worker.kill()
    for place in range(3):
        deployment.worker(host=str(place))
    assert assert_succeeded_once(deployment, job_id).attempt == 2
    assert error_codes(deployment.database, job_id) == ["worker_lost"]
    assert row(deployment.database, job_id).fence == 3  # claim, reap, claim


@pytest.mark.fault(20)
def test_three_migrations_at_once_migrate_once(deployment: Deployment, servers: Servers) -> None:
    name = f"empty_{deployment.database.url.database}"
    servers.postgres.execute(f"CREATE DATABASE {name}")
    url = {"FORGETCAST_DATABASE_URL": servers.postgres.url(name)}
    migrations = [deployment.command("migrate", **url) for _ in range(3)]
    assert [migration.process.wait(120) for migration in migrations] == [0, 0, 0]
    database = Database(url["FORGETCAST_DATABASE_URL"])
    with database.read() as session:
        assert len(session.execute(sa.text("SELECT version_num FROM alembic_version")).all()) == 1
    database.close()


@pytest.mark.fault(35)
def test_a_client_that_leaves_a_stream_is_forgotten_and_resumes_where_it_was(deployment: Deployment) -> None:
    api = deployment.api()
    go = deployment.home / "go"
    deployment.worker()
    job_id = api.post_task(f"until:{go}").json()["job"]
    deployment.child(job_id)
    for _ in range(5):
        seen = follow(api, job_id, after="0", until=3)
    eventually(lambda: open_streams(api) == 0, 5 + BUSY)
    go.touch()
    rest = follow(api, job_id, after=seen[-1]["id"], until=10_000)
    ended(deployment.database, job_id)
    numbers = [int(event["id"]) for event in (*seen, *rest) if "id" in event]
    assert numbers == event_ids(deployment, job_id)
    assert rest[-1]["event"] == "done"
    assert assert_succeeded_once(deployment, job_id).attempt == 1


@pytest.mark.fault(36)
def test_progress_never_goes_back_within_an_attempt_and_the_attempt_rises(deployment: Deployment) -> None:
    api, worker = deployment.api(), deployment.worker()
    job_id = api.post_task("slow:2").json()["job"]
    eventually(lambda: [event for event in events(deployment.database, job_id) if event["type"] == "progress"])
    worker.kill()
    deployment.worker(host="b")
    assert_succeeded_once(deployment, job_id)
    stream = follow(api, job_id, after="0", until=10_000)
    told = [json.loads(event["data"])["data"] for event in stream if event.get("event") == "progress"]
    places = [(one["attempt"], ("fine_tune", "measure").index(one["phase"]), one["step"]) for one in told]
    assert all(before <= after for before, after in pairwise(places))
    assert {place[0] for place in places} == {1, 2}
    assert api.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2


def follow(api: Api, job_id: str, *, after: str, until: int) -> list[dict[str, str]]:
    """Server-sent events after the one with this id, at most `until` of them; then the client goes away."""
    found: list[dict[str, str]] = []
    headers = {**api.credentials(), "Accept": "text/event-stream", "Last-Event-ID": after}
    with httpx2.stream("GET", f"{api.url}/v1/jobs/{job_id}/events", headers=headers, timeout=60) as answer:
        assert answer.status_code == 200
        event: dict[str, str] = {}
        for line in answer.iter_lines():
            if line:
                name, _, value = line.partition(": ")
                event |= {name: value}
            elif event:
                found.append(event)
                event = {}
                if len(found) >= until:
                    break
    return found


def event_ids(deployment: Deployment, job_id: str) -> list[int]:
    with deployment.database.read() as session:
        return list(session.scalars(sa.select(Event.id).where(Event.job_id == job_id).order_by(Event.id)))


def open_streams(api: Api) -> int:
    """Connections of clients that the API holds open."""
    port = httpx2.URL(api.url).port
    held = psutil.net_connections("tcp")  # of all: what a secluded process holds, it alone may list
    return sum(1 for one in held if one.laddr and one.laddr.port == port and one.status == psutil.CONN_ESTABLISHED)


@pytest.mark.fault(19)
def test_a_worker_whose_clock_is_wrong_and_steps_back_holds_its_lease(deployment: Deployment) -> None:
    clock, go = deployment.home / "clock", deployment.home / "go"
    clock.write_text("3600")
    deployment.worker(WRONG_CLOCK=str(clock))
    job_id = deployment.submit(f"until:{go}")
    deployment.child(job_id)
    deployment.worker(host="b")
    time.sleep(TTL)
    clock.write_text("-3600")
    time.sleep(TTL)
    go.touch()
    job = assert_succeeded_once(deployment, job_id)
    assert (job.attempt, error_codes(deployment.database, job_id)) == (1, [])
    assert job.started_at is not None and job.finished_at is not None
    assert job.created_at <= job.started_at <= job.finished_at
    told = [event for event in events(deployment.database, job_id) if event["type"] == "progress"]
    assert told and all((event["eta_s"] or 0) >= 0 for event in told)
