"""A cancel ends a job whatever its worker and its child are doing."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from tests.faults.deployment import LEASE, Api, Deployment, closing
from tests.faults.ledger import assert_ended_without_measurement, assert_succeeded_once, state
from tests.faults.stage import Servers
from tests.workers.processes import alive
from tests.workers.supervised import eventually

TTL = LEASE.total_seconds()
BUSY = 10.0  # seconds more than promised, on a busy machine

pytestmark = pytest.mark.fault(8)


@pytest.fixture(scope="module")
def shared(session_servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    with closing(session_servers.deploy(tmp_path_factory.mktemp("cancel"))) as made:
        yield made


@pytest.fixture(scope="module")
def api(shared: Deployment) -> Api:
    return shared.api()


@pytest.fixture
def deployment(shared: Deployment) -> Iterator[Deployment]:
    """The same for all tests of this file, without workers."""
    yield shared
    for process in shared.started[1:]:
        process.kill()


def assert_cancelled(deployment: Deployment, api: Api, job_id: str, within: float) -> None:
    asked_at = time.monotonic()
    assert api.cancel(job_id).status_code == 202
    eventually(lambda: state(deployment.database, job_id) == "cancelled", within + BUSY)
    assert time.monotonic() - asked_at < within + BUSY
    assert_ended_without_measurement(deployment, job_id, state="cancelled", code=None)


def test_a_waiting_job_is_cancelled_by_the_request_itself(deployment: Deployment, api: Api) -> None:
    job_id = deployment.submit("slow:0")
    assert api.cancel(job_id).json()["state"] == "cancelled"
    assert deployment.worker("--once").process.wait(60) == 0
    assert state(deployment.database, job_id) == "cancelled" and deployment.starts(job_id) == []


def test_a_running_job_is_cancelled_and_its_worker_takes_the_next(deployment: Deployment, api: Api) -> None:
    deployment.worker()
    job_id = deployment.submit("family")
    pid = deployment.child(job_id)
    assert_cancelled(deployment, api, job_id, within=5)
    assert not alive(pid)
    assert_succeeded_once(deployment, deployment.submit("slow:0"))


def test_a_child_that_ignores_sigterm_is_killed(deployment: Deployment, api: Api) -> None:
    deployment.worker()
    job_id = deployment.submit("stubborn")
    pid = deployment.child(job_id)
    assert_cancelled(deployment, api, job_id, within=20)
    assert not alive(pid)


def test_the_job_of_a_dead_worker_is_cancelled_by_another(deployment: Deployment, api: Api) -> None:
    worker = deployment.worker()
    job_id = deployment.submit("slow:600")
    deployment.child(job_id)
    deployment.worker(host="b")
    worker.kill()
    assert_cancelled(deployment, api, job_id, within=2 * TTL)
    assert len(deployment.starts(job_id)) == 1


def test_a_job_that_has_ended_cannot_be_cancelled(deployment: Deployment, api: Api) -> None:
    deployment.worker()
    job_id = deployment.submit("slow:0")
    assert_succeeded_once(deployment, job_id)
    answer = api.cancel(job_id)
    assert (answer.status_code, answer.json()["code"]) == (409, "job_ended")
    assert_succeeded_once(deployment, job_id)


def test_a_second_cancel_of_a_running_job_changes_nothing(deployment: Deployment, api: Api) -> None:
    deployment.worker()
    job_id = deployment.submit("stubborn")
    deployment.child(job_id)
    first, second = api.cancel(job_id), api.cancel(job_id)
    assert (first.status_code, second.status_code) == (202, 202)
    told = [{key: answer.json()[key] for key in ("id", "state", "attempt")} for answer in (first, second)]
    assert told[0] == told[1]
    assert_ended_without_measurement(deployment, job_id, state="cancelled", code=None)
