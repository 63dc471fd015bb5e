"""A supervisor over fake children: in this process for most tests, as a process of its own where it is to be killed.

python -m tests.workers.supervised DATABASE_URL FOLDER BEHAVIOUR
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from service.queue import NoQueue
from service.storage.database import Database
from workers.host.running import stop_on_signal
from workers.host.supervisor import Supervisor, Timing

SHORT = Timing(
    lease=timedelta(seconds=4),
    beat=timedelta(seconds=0.3),
    tick=timedelta(seconds=0.1),
    poll=timedelta(seconds=0.1),
    stop_grace=timedelta(seconds=1),
    drain_grace=timedelta(seconds=1),
    backoff=timedelta(0),
)


def fake_command(behaviour: str, pid_file: Path) -> tuple[str, ...]:
    return sys.executable, "-m", "tests.workers.fake_child", behaviour, str(pid_file)


def make_supervisor(database: Database, folder: Path, behaviour: str, **chosen: Any) -> Supervisor:
    parts: dict[str, Any] = {
        "jobs_folder": folder / "jobs",
        "model_folder": lambda model, revision: folder / model,
        "timing": SHORT,
        "command": fake_command(behaviour, folder / "pids"),
        **chosen,
    }
    return Supervisor(database, NoQueue(SHORT.poll), **parts)


def eventually(holds: Callable[[], Any], seconds: float = 60.0) -> Any:
    """What `holds` returns once that is true; fails after `seconds`."""
    until = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < until, f"not within {seconds} s"
        time.sleep(0.02)
    return found


def child_pids(folder: Path) -> list[int]:
    """The processes of the child, once it runs."""
    eventually((folder / "pids").exists)
    pids: list[int] = json.loads((folder / "pids").read_bytes())
    return pids


if __name__ == "__main__":
    make_supervisor(Database(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]).run(stop_on_signal())
