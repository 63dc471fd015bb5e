"""A full disk, and processes that are killed while they write files and import rows."""

from __future__ import annotations

import hashlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing as closed
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from service.storage.database import Database
from service.storage.tables import UpstreamExample, UpstreamSet
from tests.faults.deployment import CHECKOUT, Deployment, closing, make_world
from tests.faults.ledger import assert_ended_without_measurement, assert_succeeded_once, error_codes, measurements
from tests.faults.stage import Servers
from tests.workers.supervised import eventually
from workers.job_directory import JobOrder, read_result

MOUNT = shutil.which("mount")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 8 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if MOUNT is None or os.geteuid() != 0:
        pytest.skip("a small disk needs root, to mount it")
    mounted = subprocess.run([MOUNT, "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run([MOUNT.replace("mount", "umount"), folder], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all the space there is."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            for size in (1 << 16, 1 << 10, 1):
                while file.write(b"x" * size):
                    pass
        except OSError:
            pass
    return filler


@pytest.mark.fault(16)
def test_a_full_disk_of_the_worker_fails_the_attempt_and_leaves_nothing(
    deployment: Deployment, small_disk: Path
) -> None:
    worker = deployment.worker(FORGETCAST_CACHE_DIR=str(small_disk))
    assert_succeeded_once(deployment, deployment.submit("slow:0"))
    filler = fill(small_disk)
    job_id = deployment.submit("slow:0")
    assert_ended_without_measurement(deployment, job_id, state="failed", code="attempts_exhausted")
    assert set(error_codes(deployment.database, job_id)[:2]) == {"disk_full"}
    filler.unlink()
    assert_succeeded_once(deployment, deployment.submit("slow:0"))
    assert worker.running


@pytest.mark.fault(16)
def test_a_full_disk_of_sqlite_is_a_503_and_reads_go_on(session_servers: Servers, small_disk: Path) -> None:
    home = session_servers.home_in(small_disk)
    url = f"sqlite:///{home / 'forgetcast.db'}"
    database = Database(url)
    make_world(database, home)
    with closing(Deployment(home=home, database_url=url, database=database)) as deployment:
        api = deployment.api()
        assert api.post_task("slow:0").status_code == 202
        filler = fill(small_disk)
        answers = [api.post_task("slow:0") for _ in range(20)]
        refused = [answer for answer in answers if answer.status_code != 202]
        assert {(answer.status_code, answer.json()["code"]) for answer in refused} == {(503, "database_unavailable")}
        assert api.get("/v1/tasks").status_code == 200
        with closed(sqlite3.connect(home / "forgetcast.db")) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        filler.unlink()
        assert api.post_task("slow:0").status_code == 202


ORDER = JobOrder(
    job_id="job_1",
    attempt=1,
    fence=1,
    model_folder="",
    model_revision="",
    recipe={},
    setting={},
    seed=1,
    dataset_sha256="",
    weights_folder="",
    split=1,
    checkpoint_seconds=0.0,
)
WRITE_FOR_EVER = """\
import sys
from pathlib import Path
import numpy as np
from workers.job_directory import exact, write_block, write_result
folder, number = Path(sys.argv[1]), 0
while True:
    number += 1
    for kind in ("before", "after"):
        write_block(folder, exact(kind), 0, np.zeros(50_000, np.int8))
        write_block(folder, kind, 0, np.full(50_000, number, np.float32))
    write_result(folder, {"number": number})
"""


@pytest.mark.fault(17)
def test_a_result_whose_writer_is_killed_is_absent_old_or_whole(tmp_path: Path) -> None:
    moments = random.Random(1)
    ORDER.write(tmp_path)
    for _ in range(50):
        writer = subprocess.Popen([sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path)], cwd=CHECKOUT)
        try:
            eventually((tmp_path / "result.json").exists)
            time.sleep(moments.uniform(0, 0.05))
        finally:
            writer.kill()
            writer.wait()
        try:
            result = read_result(tmp_path)
        except ValueError as error:
            assert "does not match its sha256" in str(error)  # its blocks were being written anew
        else:
            assert set(result.after.tolist()) == {result.report["number"]}
        (tmp_path / "result.json").unlink()


@pytest.mark.fault(17)
def test_an_import_whose_api_is_killed_is_whole_or_absent(deployment: Deployment) -> None:
    n_examples = 20_000
    lines = [{"id": f"e{place}", "text": f"text {place}", "domain": "d"} for place in range(n_examples)]
    content = "\n".join(map(json.dumps, lines)).encode()
    moments = random.Random(1)
    for number in range(10):
        api = deployment.api()
        name = f"imported-{number}"
        assert api.request("POST", "/v1/upstream-sets", json={"id": name}).status_code == 201
        killer = threading.Timer(moments.uniform(0.1, 1.2), api.kill)
        killer.start()
        try:
            sent = api.request("PUT", f"/v1/upstream-sets/{name}/examples", content=content, timeout=60).status_code
        except httpx2.TransportError:
            sent = None
        killer.join()
        with deployment.database.read() as session:
            sealed = session.get_one(UpstreamSet, name).sha256
            stored = session.scalar(
                sa.select(sa.func.count()).select_from(UpstreamExample).where(UpstreamExample.set_id == name)
            )
        assert stored == (0 if sealed is None else n_examples)
        assert sealed is not None or sent is None
    api = deployment.api()
    again = api.request("PUT", "/v1/upstream-sets/imported-0/examples", content=content, timeout=60)
    assert again.status_code == 200, again.text


@pytest.mark.fault(38)
def test_sqlite_with_four_writers_a_reader_a_kill_and_a_backup(embedded: Deployment) -> None:
    workers = [embedded.worker(host=str(place)) for place in range(4)]
    job_ids = [embedded.submit("slow:0.2", measure="full" if place % 4 == 0 else "probe") for place in range(12)]
    backup = embedded.home / "backup.db"
    with embedded.database.read() as long_read:
        before = long_read.scalar(sa.text("SELECT count(*) FROM event"))
        for job_id in job_ids[:4]:
            assert_succeeded_once(embedded, job_id)
        workers[0].kill()
        with closed(sqlite3.connect(embedded.home / "forgetcast.db")) as source, closed(sqlite3.connect(backup)) as to:
            source.backup(to)
        for job_id in job_ids[4:]:
            assert_succeeded_once(embedded, job_id)
        assert long_read.scalar(sa.text("SELECT count(*) FROM event")) == before  # still its own moment
    assert not any("locked" in worker.log for worker in workers)
    for file in (embedded.home / "forgetcast.db", backup):
        with closed(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    restored = Database(f"sqlite:///{backup}")
    hashes, now = measured_hashes(restored), measured_hashes(embedded.database)
    restored.close()
    assert len(hashes) >= 4 and hashes.items() <= now.items()


def measured_hashes(database: Database) -> dict[str, str]:
    """sha256 over the measured row of each task."""
    return {one.task_id: hashlib.sha256(one.forgetting).hexdigest() for one in measurements(database)}
