"""`forgetcast worker` itself, with its own command line, settings, signals and logs, over children without a model.

python -m tests.faults.worker STARTS_FILE [OPTIONS OF `forgetcast worker`]

Only the child's program and two waits are the tests' own: retries follow at once, and a stubborn child is killed soon.
"""

from __future__ import annotations

import sys
from datetime import timedelta
from functools import partial
from typing import Any

from workers import commands
from workers.supervisor import Supervisor, Timing

STOP_GRACE = timedelta(seconds=2)


def main() -> None:
    starts, *options = sys.argv[1:]
    patched: Any = commands
    patched.Supervisor = partial(Supervisor, command=(sys.executable, "-m", "tests.faults.child", starts))
    patched.Timing = partial(Timing, stop_grace=STOP_GRACE, backoff=timedelta(0), tick=timedelta(seconds=0.1))
    commands.worker.main(options, prog_name="worker")


if __name__ == "__main__":
    main()
