"""Online replay in two processes over gloo: one stream, shared out; one of them speaks to the service."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from forgetcast.trainers import OnlineReplay, ReplaySampler
from tests.trainers.runs import TASK, UPSTREAM, free_port
from tests.trainers.world import live_service

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def seen(tmp_path_factory):
    """What both processes saw, of a run with a service and of one without."""
    home, folder = tmp_path_factory.mktemp("home"), tmp_path_factory.mktemp("runs")
    with live_service(home) as live:
        return list(zip(*run_both(folder, live.url, f"http://127.0.0.1:{free_port()}"), strict=True))


def run_both(folder: Path, *urls: str) -> list[list[dict[str, Any]]]:
    """What each of two processes saw of each run."""
    port = str(free_port())
    environment = os.environ | {
        "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port, "HF_HUB_OFFLINE": "1",
    }  # fmt: skip
    command = [sys.executable, "-W", "ignore", "-m", "tests.trainers.ddp_run", str(folder), *urls]
    processes = [
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    try:
        said = [process.communicate(timeout=280)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0], said
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in (0, 1)]


def shared_out(stream: list[int], rank: int) -> list[int]:
    """The rows of a process: batches of four are taken in turn."""
    batches = [stream[at : at + 4] for at in range(0, len(stream), 4)]
    return [row for batch in batches[rank::2] for row in batch]


def test_two_processes_share_one_stream_and_one_forecast(seen):
    first, second = seen[0]
    assert first["phase"] == second["phase"] == "weighed"
    assert first["schedule"] == second["schedule"] and first["weights"] == second["weights"]
    replay = OnlineReplay(TASK, UPSTREAM, matrix="m", ratio=0.5)
    sampler = ReplaySampler(replay.dataset, len(TASK), 0.5, 0)
    sampler.load_schedule(first["schedule"])
    # An epoch has 60 rows: seven batches of both and a last one of four, which is filled up from the epoch's beginning.
    stream: list[int] = []
    for epoch in range(3):
        rows = sampler.rows(epoch * 60, epoch * 60 + 60)
        stream += rows + rows[:4]
    for rank, one in enumerate((first, second)):
        assert one["rows"] == shared_out(stream, rank)[: 20 * 4]


def test_without_a_service_both_processes_go_on_evenly(seen):
    first, second = seen[1]
    assert first["phase"] == second["phase"] == "uniform"
    assert first["schedule"] == second["schedule"] == [] and first["weights"] == second["weights"]
    assert len(first["rows"]) == len(second["rows"]) == 80
