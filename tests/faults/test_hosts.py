"""Several hosts, each with an API replica and a worker, over one Postgres and one Redis; one host's cable is pulled."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest

from forgetcast.schemas import Scope
from tests.api_keys import create_key
from tests.faults.deployment import LEASE, Api, Deployment, closing
from tests.faults.hosts import Host, NoNamespaces, network
from tests.faults.ledger import assert_succeeded_once, ended, error_codes, measurements, row
from tests.faults.servers import ServerMissing
from tests.faults.stage import own_servers
from tests.workers.processes import alive
from tests.workers.supervised import eventually

TTL = LEASE.total_seconds()
PATIENCE = {"FORGETCAST_DATABASE_TIMEOUT": "PT2S"}


@pytest.fixture(scope="module")
def hosts(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Deployment, Host, Host]]:
    """A deployment whose servers are reached over the network, and two hosts."""
    try:
        with network(2) as made, own_servers(made.address) as servers:
            deployment = servers.deploy(tmp_path_factory.mktemp("hosts"), proxied=False)
            with closing(deployment):
                first, second = made.hosts
                yield deployment, first, second
    except (NoNamespaces, ServerMissing) as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def replicas(hosts: tuple[Deployment, Host, Host]) -> tuple[Api, Api]:
    """An API and a worker on each host; beyond loopback requests need a key."""
    deployment, *both = hosts
    with deployment.database.transaction() as session:
        key = create_key(session, "test", [Scope.READ, Scope.SUBMIT])
    apis = []
    for host in both:
        deployment.worker(host=host.namespace, before=host.enter, **PATIENCE)
        api = deployment.api(before=host.enter, host=host.address, port=8737, **PATIENCE)
        api.key = str(key)
        apis.append(api)
    return apis[0], apis[1]


@pytest.mark.fault(43)
@pytest.mark.parametrize("comes_back", ["while it runs elsewhere", "after it has ended elsewhere"])
def test_the_job_of_a_host_that_is_cut_off_ends_once(
    hosts: tuple[Deployment, Host, Host], replicas: tuple[Api, Api], tmp_path: Path, comes_back: str
) -> None:
    deployment, *both = hosts
    go = tmp_path / "go"
    job_id = replicas[0].post_task(f"until:{go}").json()["job"]
    pid = deployment.child(job_id)
    owner = next(host for host in both if worker_of(deployment, job_id, host))
    cut, other = (replicas[0], replicas[1]) if owner is both[0] else (replicas[1], replicas[0])
    owner.cut_off()
    second = deployment.child(job_id, attempt=2)
    assert alive(pid)  # it works on, and cannot tell anybody
    with pytest.raises(httpx2.TransportError):
        cut.get("/healthz", timeout=0.5)
    assert other.get("/readyz").status_code == 200
    assert other.get(f"/v1/jobs/{job_id}").json()["attempt"] == 2
    if comes_back == "while it runs elsewhere":
        owner.bring_back()
        eventually(lambda: not alive(pid), 10 * TTL)
        assert alive(second)
        go.touch()
        ended(deployment.database, job_id)
    else:
        go.touch()
        ended(deployment.database, job_id)
        owner.bring_back()
        time.sleep(2 * TTL)  # in which the first attempt's result arrives, and is thrown away
        assert not alive(pid)
    job = row(deployment.database, job_id)
    assert (job.state, job.attempt, error_codes(deployment.database, job_id)) == ("succeeded", 2, ["worker_lost"])
    assert len(measurements(deployment.database, job_id)) == 1
    eventually(lambda: cut.get("/readyz").status_code == 200)
    jobs = [cut.post_task("slow:1").json()["job"] for _ in range(4)]
    for one in jobs:
        assert assert_succeeded_once(deployment, one).attempt == 1


def worker_of(deployment: Deployment, job_id: str, host: Host) -> bool:
    """Whether this host's worker holds the job: the child's folder lies in its own cache."""
    return bool(list((deployment.home / f"cache-{host.namespace}" / "jobs").glob(f"{job_id}*")))
