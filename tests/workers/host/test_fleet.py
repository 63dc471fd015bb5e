"""`forgetcast worker --gpus all` on simulated GPUs: one worker a GPU, as real processes."""

import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import pytest
import sqlalchemy as sa

from service.storage.database import Database
from service.storage.schema import migrate
from service.storage.tables import Worker
from tests.workers.processes import alive
from tests.workers.supervised import eventually


@pytest.fixture
def database(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'forgetcast.db'}")
    migrate(database)
    yield database
    database.close()


@contextmanager
def worker(home, *arguments):
    """A worker's process. It is killed at the end, and what it has started then ends by itself."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FORGETCAST_")}
    own = {
        "FORGETCAST_HOME": str(home),
        "FORGETCAST_CACHE_DIR": str(home / "cache"),
        "FORGETCAST_SIMULATED_GPUS": "2",
        "FORGETCAST_LEASE": "PT6S",
    }
    command = [sys.executable, "-m", "forgetcast.cli", "worker", "--poll", "0.1", *arguments]
    with (home / "worker.log").open("ab") as log:
        process = subprocess.Popen(command, env=inherited | own, stdin=subprocess.DEVNULL, stderr=log)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def pids(database):
    """GPU -> process of the worker that has it, as the workers themselves say."""
    with database.read() as session:
        return {
            row.gpu: int(row.id.split(":")[1]) for row in session.scalars(sa.select(Worker).order_by(Worker.seen_at))
        }


def both(database):
    found = pids(database)
    return found if len(found) == 2 else None


def test_there_is_a_worker_on_each_gpu_and_all_end_together(database, tmp_path):
    with worker(tmp_path, "--gpus", "all") as parent:
        first = eventually(lambda: both(database))
        assert set(first) == {"SIMULATED-0", "SIMULATED-1"}
        os.kill(first["SIMULATED-0"], signal.SIGKILL)
        second = eventually(lambda: (now := pids(database))["SIMULATED-0"] != first["SIMULATED-0"] and now)
        assert second["SIMULATED-1"] == first["SIMULATED-1"]
        parent.send_signal(signal.SIGTERM)
        assert parent.wait(60) == 0
    assert not any(map(alive, second.values()))


def test_a_worker_whose_gpu_is_held_waits_and_gets_it_when_the_fleet_is_killed(database, tmp_path):
    with worker(tmp_path, "--gpus", "0,1") as parent:
        fleet = eventually(lambda: both(database))
        with worker(tmp_path, "--gpus", "1") as waiting:
            eventually(lambda: "no job is claimed until one is free" in (tmp_path / "worker.log").read_text())
            assert waiting.pid not in pids(database).values()
            parent.kill()
            eventually(lambda: not any(map(alive, fleet.values())))
            eventually(lambda: pids(database).get("SIMULATED-1") == waiting.pid)
            waiting.send_signal(signal.SIGTERM)
            assert waiting.wait(60) == 0
