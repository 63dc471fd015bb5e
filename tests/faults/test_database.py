"""A Postgres that is stopped, cut off, silent, slow, full of locks, or restored from a backup."""

from __future__ import annotations

import signal
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import psycopg
import pytest

from service.storage.database import Database
from tests.faults.deployment import LEASE, Api, Deployment
from tests.faults.ledger import assert_succeeded_once, error_codes, row
from tests.faults.stage import Servers
from tests.workers.supervised import eventually

TTL = LEASE.total_seconds()
BUSY = 10.0  # seconds more than promised, on a busy machine
SHORT = {"FORGETCAST_DATABASE_TIMEOUT": "PT2S"}


@pytest.mark.fault(4)
def test_a_stopped_postgres_costs_running_jobs_nothing(deployment: Deployment, servers: Servers) -> None:
    api, worker, other = deployment.api(), deployment.worker(), deployment.worker(host="b")
    go = deployment.home / "go"
    running = [deployment.submit(f"until:{go}") for _ in range(2)]
    waiting = deployment.submit("slow:0")
    for job_id in running:
        deployment.child(job_id)
    servers.postgres.kill(signal.SIGQUIT)
    stopped_at = time.monotonic()
    while time.monotonic() < stopped_at + 5 * TTL:
        assert_refused(api)
        time.sleep(0.5)
    servers.postgres.start()
    eventually(lambda: api.get("/readyz").status_code == 200, 5 + BUSY)
    go.touch()
    for job_id in (*running, waiting):
        assert assert_succeeded_once(deployment, job_id).attempt == 1
        assert error_codes(deployment.database, job_id) == []
    assert worker.running and other.running


def assert_refused(api: Api) -> None:
    """503 with Retry-After, soon, as a problem."""
    asked_at = time.monotonic()
    answer = api.get("/v1/tasks")
    assert (answer.status_code, answer.json()["code"]) == (503, "database_unavailable"), answer.text
    assert int(answer.headers["Retry-After"]) > 0 and answer.json()["retryable"]
    assert time.monotonic() - asked_at < 2 + BUSY


@pytest.mark.fault(5)
def test_a_lost_reply_to_the_commit_of_a_result_records_it_once(deployment: Deployment, servers: Servers) -> None:
    go = deployment.home / "go"
    worker = deployment.worker()
    job_id = deployment.submit(f"until:{go}")
    deployment.child(job_id)
    lost = servers.to_postgres.drop_reply(b'"device": "none"')
    go.touch()
    assert lost.dropped.wait(30)
    assert assert_succeeded_once(deployment, job_id).attempt == 1
    assert_succeeded_once(deployment, deployment.submit("slow:0"))
    assert worker.running


@pytest.mark.fault(5)
def test_a_lost_reply_to_the_commit_of_a_claim_costs_one_lease(deployment: Deployment, servers: Servers) -> None:
    job_id = deployment.submit("slow:0")
    lost = servers.to_postgres.drop_reply(job_id.encode())
    deployment.worker()
    assert lost.dropped.wait(30)
    assert assert_succeeded_once(deployment, job_id).attempt == 2
    assert error_codes(deployment.database, job_id) == ["worker_lost"]
    assert len(deployment.starts(job_id)) == 1


@pytest.mark.fault(21)
def test_a_database_full_of_locks_is_a_503_and_the_pool_recovers(deployment: Deployment) -> None:
    api = deployment.api(**SHORT)
    with psycopg.connect(direct_dsn(deployment)) as locker:
        locker.execute("LOCK TABLE task")
        with ThreadPoolExecutor(45) as pool:
            answers = list(pool.map(lambda _: api.get("/v1/tasks", timeout=30), range(45)))
    assert {answer.status_code for answer in answers} == {503}
    assert {answer.json()["code"] for answer in answers} <= {"database_unavailable", "busy"}
    with ThreadPoolExecutor(20) as pool:
        after = pool.map(lambda _: api.get("/v1/tasks").status_code, range(40))
    assert set(after) == {200}


@pytest.mark.fault(21)
def test_connections_that_are_killed_again_and_again_are_never_a_500(deployment: Deployment) -> None:
    api = deployment.api()
    until = time.monotonic() + 3

    def kill_connections() -> None:
        with psycopg.connect(direct_dsn(deployment), autocommit=True) as killer:
            while time.monotonic() < until:
                killer.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
                )
                time.sleep(0.05)

    killing = threading.Thread(target=kill_connections)
    killing.start()
    statuses = []
    while time.monotonic() < until:
        statuses.append(api.post_task("slow:0").status_code)
    killing.join()
    assert set(statuses) <= {201, 202, 503} and len(statuses) > 5
    eventually(lambda: api.post_task("slow:0").status_code == 202)


@pytest.mark.fault(44)
def test_a_postgres_that_takes_no_writes_for_a_time_costs_no_job_an_attempt(
    deployment: Deployment, servers: Servers
) -> None:
    def take_writes(setting: str) -> None:
        servers.postgres.execute(f"ALTER SYSTEM SET default_transaction_read_only = {setting}")
        servers.postgres.execute("SELECT pg_reload_conf()")

    api = deployment.api()
    workers = [deployment.worker(host=name) for name in ("a", "b")]
    answers, ordered = [], []
    try:
        for _ in range(8):
            ordered += [deployment.submit("slow:0.3") for _ in range(3)]
            take_writes("on")
            answers.append(api.post_task("slow:0"))
            assert api.get("/v1/tasks").status_code == 200
            time.sleep(0.5)
            take_writes("off")
            answers.append(api.post_task("slow:0"))
    finally:
        take_writes("off")
    refused = [answer for answer in answers if answer.status_code != 202]
    assert refused and {answer.json()["code"] for answer in refused} == {"database_unavailable"}
    for job_id in ordered:
        assert_succeeded_once(deployment, job_id)
        assert error_codes(deployment.database, job_id) == []
    assert all(worker.running for worker in workers)


@pytest.mark.fault(22)
@pytest.mark.parametrize("fault", ["silent", "slow"])
def test_a_silent_or_slow_postgres_blocks_nothing_else(deployment: Deployment, servers: Servers, fault: str) -> None:
    api = deployment.api(**SHORT)
    assert api.get("/v1/tasks").status_code == 200
    threads = psutil.Process(api.pid).num_threads()
    if fault == "silent":
        servers.to_postgres.black_hole()
    else:
        servers.to_postgres.delay(2.5)
    with ThreadPoolExecutor(60) as pool:
        answers = [pool.submit(api.get, "/v1/tasks", timeout=30) for _ in range(50)]
        readiness = pool.submit(api.get, "/readyz", timeout=30)
        lives = [asked(api, "/healthz") for _ in range(10)]
        assert psutil.Process(api.pid).num_threads() <= threads + 45
        statuses = {answer.result().status_code for answer in answers}
    assert statuses == {503} and readiness.result().status_code == 503
    assert sorted(lives)[5] < 0.1 + 0.4  # half a second on a machine that does other things too
    servers.to_postgres.heal()
    eventually(lambda: api.get("/readyz").status_code == 200, 5 + BUSY)
    eventually(lambda: api.get("/v1/tasks").status_code == 200, BUSY)


def asked(api: Api, path: str) -> float:
    """Seconds until the answer, which is 200."""
    began = time.monotonic()
    assert api.get(path).status_code == 200
    return time.monotonic() - began


@pytest.mark.fault(22)
def test_a_worker_cut_off_from_postgres_works_on_and_is_not_run_again(deployment: Deployment, servers: Servers) -> None:
    go = deployment.home / "go"
    deployment.worker(**{"FORGETCAST_DATABASE_TIMEOUT": "PT1S"})
    job_id = deployment.submit(f"until:{go}")
    deployment.child(job_id)
    servers.to_postgres.black_hole()
    time.sleep(2 * TTL)
    servers.to_postgres.heal()
    go.touch()
    assert assert_succeeded_once(deployment, job_id).attempt == 1


@pytest.mark.fault(39)
def test_a_backup_taken_while_jobs_run_restores_to_a_service_that_runs_them(
    deployment: Deployment, servers: Servers
) -> None:
    go = deployment.home / "go"
    worker = deployment.worker()
    done, running, waiting = (deployment.submit(told) for told in ("slow:0", f"until:{go}", "slow:0.1"))
    deployment.child(running)
    backup = deployment.home / "backup.sql"
    subprocess.run([servers.postgres.program("pg_dump"), "-f", str(backup), direct_dsn(deployment)], check=True)
    fence = row(deployment.database, running).fence
    worker.kill()
    name = f"restored_{deployment.database.url.database}"
    servers.postgres.execute(f"CREATE DATABASE {name}")
    restored = servers.postgres.dsn(name)
    psql = [servers.postgres.program("psql"), "-q", "-v", "ON_ERROR_STOP=1", "-f", str(backup), restored]
    subprocess.run(psql, check=True, stdout=subprocess.DEVNULL)
    deployment.database.close()
    deployment.database_url, deployment.database = servers.postgres.url(name), Database(servers.postgres.url(name))
    go.touch()
    deployment.worker(host="b")
    for job_id in (done, running, waiting):
        assert_succeeded_once(deployment, job_id)
    assert row(deployment.database, running).fence > fence + 1
    assert error_codes(deployment.database, running) == ["worker_lost"]


def direct_dsn(deployment: Deployment) -> str:
    return deployment.database.url.set(drivername="postgresql").render_as_string(hide_password=False)
