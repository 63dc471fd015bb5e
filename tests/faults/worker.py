"""`forgetcast worker` itself, with its own command line, settings, signals and logs, over children without a model.

python -m tests.faults.worker STARTS_FILE [OPTIONS OF `forgetcast worker`]

Only the child's program and two waits are the tests' own: retries follow at once, and a stubborn child is killed soon.
With WRONG_CLOCK its wall clock is as many seconds off as that file says, at every moment.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import time_machine

from forgetcast.cli.lazy_group import imported
from workers import commands

STOP_GRACE = timedelta(seconds=2)


def main() -> None:
    starts, *options = sys.argv[1:]
    if "WRONG_CLOCK" in os.environ:
        threading.Thread(target=set_wrong, args=(Path(os.environ["WRONG_CLOCK"]),), daemon=True).start()
    imported("worker", "workers.host.running:run_worker")  # as the command does; it starts in half the time
    running: Any = sys.modules["workers.host.running"]
    running.command_on = lambda _n_devices: (sys.executable, "-m", "tests.faults.child", starts)
    running.Timing = partial(running.Timing, stop_grace=STOP_GRACE, backoff=timedelta(0), tick=timedelta(seconds=0.1))
    commands.worker.main(options, prog_name="worker")


def set_wrong(file: Path) -> None:
    """Set this process's wall clock as the file says, again whenever it says something else."""
    off = 0.0
    clock = time_machine.travel(timedelta(0), tick=True).start()
    while True:
        told = float(file.read_text() or off)
        clock.shift(told - off)
        off = told
        time.sleep(0.1)


if __name__ == "__main__":
    main()
