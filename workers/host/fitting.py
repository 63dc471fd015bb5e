"""The child that fits: one folder in, a fit or a back-test out (service/operations/fit_folder.py). Knows no torch.

    python -m workers.host.fitting MOST_BYTES FOLDER

It holds no lease and no secret. What it may take of the host's memory is bounded, and where the host runs out all the
same the kernel ends it before the worker and before a child that trains.
"""

from __future__ import annotations

import json
import resource
import sys
import traceback
from contextlib import suppress
from pathlib import Path

from forgetcast.errors import ForgetcastError
from service.operations.fit_folder import work_in
from workers.host.outcome import DISK_FULL, Failure, failure_of
from workers.job_directory import write_file
from workers.parent import die_with_parent

FIRST_TO_GO = "1000"  # of the kernel's out-of-memory killer


def main() -> int:
    """Exit status: 0 done, 1 failed for a reason in error.json, 74 not even that could be written."""
    most_bytes, folder = int(sys.argv[1]), Path(sys.argv[2])
    die_with_parent()
    _bound_memory(most_bytes)
    try:
        work_in(folder)
    except Exception as error:
        traceback.print_exc()
        failure = describe(error, most_bytes)
        try:
            write_file(folder / "error.json", json.dumps({"code": failure.code, "detail": failure.detail}).encode())
        except OSError:
            return DISK_FULL
        return 1
    return 0


def _bound_memory(most_bytes: int) -> None:
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(FIRST_TO_GO)
    with suppress(ValueError, OSError):  # there is a lower limit already, or none can be set here
        resource.setrlimit(resource.RLIMIT_DATA, (most_bytes, most_bytes))


def describe(error: Exception, most_bytes: int) -> Failure:
    """What stands in the matrix for an error of its fit."""
    if isinstance(error, MemoryError):
        return Failure("host_oom", f"it needs more than the {most_bytes / 1e9:.1f} GB of memory that it may take")
    if isinstance(error, ForgetcastError | OSError):
        return failure_of(error)
    return Failure("internal", f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    sys.exit(main())
