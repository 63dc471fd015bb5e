"""A Redis that is killed, emptied or cut off: a hint is lost, and nothing else."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa

from service.storage.tables import Job
from tests.faults.deployment import Deployment
from tests.faults.ledger import assert_succeeded_once, row
from tests.faults.stage import Servers
from tests.workers.processes import alive
from tests.workers.supervised import eventually

BUSY = 10.0  # seconds more than promised, on a busy machine


@pytest.mark.fault(6)
@pytest.mark.parametrize("wiped", [False, True])
def test_a_killed_redis_loses_no_job(deployment: Deployment, servers: Servers, wiped: bool) -> None:
    api, worker = deployment.api(), deployment.worker()
    go = deployment.home / "go"
    running = api.post_task(f"until:{go}").json()["job"]
    deployment.child(running)
    before = [api.post_task("slow:0").json()["job"] for _ in range(3)]
    servers.redis.kill()
    answers = [api.post_task("slow:0") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202] * 3
    go.touch()
    assert_succeeded_once(deployment, running)
    assert_succeeded_once(deployment, before[0])  # also while Redis is away
    if wiped:
        servers.redis.wipe()
    servers.redis.start()
    after = api.post_task("slow:0").json()["job"]
    for job_id in (*before, *(answer.json()["job"] for answer in answers), after):
        assert assert_succeeded_once(deployment, job_id).attempt == 1
    assert worker.running


@pytest.mark.fault(9)
@pytest.mark.parametrize("fault", ["refuse", "black_hole"])
def test_a_cancel_reaches_a_worker_whose_redis_is_gone(deployment: Deployment, servers: Servers, fault: str) -> None:
    api = deployment.api()
    deployment.worker()
    job_id = api.post_task("slow:600").json()["job"]
    pid = deployment.child(job_id)
    getattr(servers.to_redis, fault)()
    asked_at = time.monotonic()
    assert api.cancel(job_id).status_code == 202
    eventually(lambda: row(deployment.database, job_id).state == "cancelled", 5 + BUSY)
    assert time.monotonic() - asked_at < 5 + BUSY and not alive(pid)


@pytest.mark.fault(13)
def test_a_job_whose_api_died_before_it_could_tell_anybody_is_found(deployment: Deployment, servers: Servers) -> None:
    """Its id is on the way to a silent Redis when the API is killed, and its row is committed."""
    api = deployment.api()
    deployment.worker()
    assert_succeeded_once(deployment, deployment.submit("slow:0"))  # the worker is up
    servers.to_redis.black_hole()
    with ThreadPoolExecutor(1) as pool:
        posted = pool.submit(api.post_task, "slow:0", id="told-nobody")
        job_id = eventually(lambda: job_of(deployment, "told-nobody"))
        api.kill()
        assert posted.exception() is not None
    client = servers.redis.client()
    assert client.llen("forgetcast:jobs:any") == 0
    client.close()
    servers.to_redis.heal()
    assert_succeeded_once(deployment, job_id, 5 + BUSY)


def job_of(deployment: Deployment, task_id: str) -> str | None:
    with deployment.database.read() as session:
        return session.scalar(sa.select(Job.id).where(Job.task_id == task_id))
