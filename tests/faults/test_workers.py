"""Workers that are killed and frozen, and children that die by themselves."""

from __future__ import annotations

import random
import signal
import time
from functools import partial

import psutil
import pytest
import redis

from tests.faults.deployment import LEASE, Deployment
from tests.faults.ledger import (
    assert_ended_without_measurement,
    assert_one_child_at_a_time,
    assert_succeeded_once,
    error_codes,
    row,
)
from tests.workers.processes import alive
from tests.workers.supervised import eventually

TTL = LEASE.total_seconds()
BUSY = 10.0  # seconds more than promised, on a busy machine


@pytest.mark.fault(1, 42)
def test_jobs_of_workers_killed_at_random_moments_are_run_again_by_another(deployment: Deployment) -> None:
    go = deployment.home / "go"
    moments = random.Random(1)
    workers = [deployment.worker(host="b") for _ in range(20)]
    job_ids = [deployment.submit(f"until:{go}") for _ in workers]
    pids = [deployment.child(job_id) for job_id in job_ids]
    for worker in workers:
        time.sleep(moments.uniform(0, 0.3))
        worker.kill()
    eventually(lambda: not any(map(alive, pids)), 1)
    killed_at = time.monotonic()
    go.touch()
    deployment.worker()
    for job_id in job_ids:
        assert_succeeded_once(deployment, job_id)
        assert error_codes(deployment.database, job_id) == ["worker_lost"]
    assert time.monotonic() - killed_at < 2 * TTL + 2 * BUSY


@pytest.mark.fault(2)
def test_a_killed_worker_leaves_no_process_behind(deployment: Deployment) -> None:
    worker = deployment.worker()
    job_id = deployment.submit("family")
    pid = deployment.child(job_id)
    family = eventually(lambda: _family(pid))
    worker.kill()
    eventually(lambda: not any(map(alive, [pid, *family])), 2)
    deployment.worker()
    eventually(lambda: len(deployment.starts(job_id)) == 2, 2 * TTL + BUSY)
    assert_one_child_at_a_time(deployment, job_id)


@pytest.mark.fault(3)
def test_a_worker_that_was_frozen_beyond_its_lease_changes_nothing(deployment: Deployment) -> None:
    go = deployment.home / "go"
    frozen = deployment.worker()
    job_id = deployment.submit(f"until:{go}")
    pid = deployment.child(job_id)
    frozen.send(signal.SIGSTOP)
    deployment.worker(host="b")
    second = deployment.child(job_id, attempt=2)
    time.sleep(TTL)
    assert alive(pid)  # it works on, for nobody
    frozen.send(signal.SIGCONT)
    eventually(lambda: not alive(pid), 2)
    assert alive(second)
    go.touch()
    eventually(lambda: row(deployment.database, job_id).state == "succeeded")
    assert (row(deployment.database, job_id).attempt, error_codes(deployment.database, job_id)) == (2, ["worker_lost"])
    assert frozen.running


@pytest.mark.fault(10, 42)
@pytest.mark.parametrize("behaviour", ["die:SIGSEGV", "exit:3", "die:SIGKILL"])
def test_a_child_that_always_dies_fails_its_job_and_nothing_else(deployment: Deployment, behaviour: str) -> None:
    worker = deployment.worker()
    poison = deployment.submit(behaviour, priority=1)
    other = deployment.submit("slow:0.1")
    job = assert_ended_without_measurement(deployment, poison, state="failed", code="attempts_exhausted")
    assert len(deployment.starts(poison)) == job.attempt == job.max_attempts
    assert_succeeded_once(deployment, other, 2 + BUSY)
    assert worker.running


@pytest.mark.fault(12)
def test_lost_and_doubled_messages_change_nothing(deployment: Deployment) -> None:
    for place in range(6):
        deployment.worker(host=str(place))
    client = redis_client(deployment)
    job_ids = []
    for seed in range(5):
        chance = random.Random(seed)
        for _ in range(40):
            job_ids.append(deployment.submit("slow:0"))
            lost, doubled = chance.random() < 0.15, chance.random() < 0.15
            for _ in range(0 if lost else 10 if doubled else 1):
                client.rpush("forgetcast:jobs:any", job_ids[-1])
    client.close()
    for job_id in job_ids:
        assert assert_succeeded_once(deployment, job_id, 240).attempt == 1


@pytest.mark.fault(33)
def test_a_rolling_restart_of_all_workers_costs_no_job_an_attempt(deployment: Deployment) -> None:
    workers = [deployment.worker(host=str(place)) for place in range(3)]
    job_ids = [deployment.submit("slow:1.5") for _ in range(9)]
    for place, worker in enumerate(workers):
        eventually(partial(_has_started, deployment, place + 1))
        assert worker.stop() == 0
        deployment.worker(host=str(place))
    for job_id in job_ids:
        assert assert_succeeded_once(deployment, job_id).attempt == 1
        assert error_codes(deployment.database, job_id) == []


@pytest.mark.fault(34)
def test_forged_messages_are_dropped_and_run_nothing(deployment: Deployment) -> None:
    canary = deployment.home / "canary"
    client = redis_client(deployment)
    forged: list[str | bytes] = ["", "job_of_tomorrow", '{"version": 99}', b"\xff\xfe", b"x" * 1_000_000]
    for message in (*forged, f"os.system('touch {canary}')", f"cos\nsystem\n(S'touch {canary}'\ntR."):
        client.rpush("forgetcast:jobs:any", message)
    worker = deployment.worker()
    eventually(lambda: client.llen("forgetcast:jobs:any") == 0)
    client.set("forgetcast:jobs:any", "not even a list")
    assert_succeeded_once(deployment, deployment.submit("slow:0"))
    client.close()
    assert worker.running and not canary.exists()
    assert len(deployment.starts()) == 1


def redis_client(deployment: Deployment) -> redis.Redis:
    return redis.Redis.from_url(deployment.redis_url, socket_timeout=3)


def _has_started(deployment: Deployment, n_children: int) -> bool:
    return len(deployment.starts()) >= n_children


def _family(pid: int) -> list[int]:
    """The children of a process."""
    return [process.pid for process in psutil.Process(pid).children(recursive=True)]
