"""One attempt on several devices: torch's own launcher starts a process for each, and ends all when one fails.

    python -m workers.attempt.launch N_DEVICES JOB_DIRECTORY

What `torchrun --standalone` does, through its API, for three things that its command does not: SIGUSR1 reaches the
processes, the exit status is that of the one that failed, and its files stay in the job directory.
"""

from __future__ import annotations

import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from workers.attempt.statuses import LEFT_EARLY

PASSED_ON = "SIGTERM,SIGINT,SIGHUP,SIGQUIT,SIGUSR1"
TO_SAVE = 3600  # seconds that processes may take to save what they have; the worker ends them sooner


def launch(n_devices: int, folder: Path, module: str = "workers.attempt.run") -> int:
    """Run a module on a folder in so many processes. The exit status; negative the signal that ended one of them."""
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n_devices)))
    with tempfile.TemporaryDirectory(dir=folder, prefix="launcher-") as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=n_devices,
            run_id=folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            local_addr="localhost",
            max_restarts=0,  # whether a job is tried again, and on what, the worker decides
            signals_to_handle=PASSED_ON,
            shutdown_timeout=TO_SAVE,
            logs_specs=DefaultLogsSpecs(log_dir=logs),
        )
        try:
            elastic_launch(config, sys.executable)("-m", module, str(folder))
        except SignalException as error:
            return LEFT_EARLY if error.sigval == signal.SIGUSR1 else 1
        except ChildFailedError as error:
            return _first_cause([failure.exitcode for failure in error.failures.values()])
    return 0


def _first_cause(statuses: Sequence[int]) -> int:
    """Of those that ended one after the other: whom something has killed, but for the launcher itself, which ends the
    others so; else the one that has failed by itself."""
    return min(statuses, key=lambda status: (status == -signal.SIGTERM, status > 0, -status))


def main() -> int:
    status = launch(int(sys.argv[1]), Path(sys.argv[2]))
    if status < 0:
        signal.signal(-status, signal.SIG_DFL) if -status != signal.SIGKILL else None
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
