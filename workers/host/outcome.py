"""How attempts end: with a result, with a failure that has a code, or interrupted from outside."""

from __future__ import annotations

import errno
import json
import logging
import signal
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from forgetcast.errors import ForgetcastError
from service.storage.attempts import ChildEnd
from workers.host.child import Child
from workers.host.last_words import keep_log, read_last_words
from workers.job_directory import JobResult, read_result

log = logging.getLogger(__name__)

DISK_FULL = 74  # exit status of a child that could not even write down its error


@dataclass(frozen=True)
class Failure:
    """An attempt that ended without a result."""

    code: str
    detail: str


class Interrupted(Enum):
    """An attempt that was ended from outside, and is nobody's failure."""

    LOST = "lost"  # another worker has the job, or it ended
    STOPPED = "stopped"  # the worker is stopped, or could not renew its lease for too long


Outcome = JobResult | Failure | Interrupted


@dataclass(frozen=True)
class Ended:
    """How an attempt ended, and how its child did, where one was started."""

    outcome: Outcome
    child: ChildEnd = field(default_factory=ChildEnd)


def failure_of(error: Exception) -> Failure:
    """What stands in the job for an error in the worker itself."""
    if isinstance(error, ForgetcastError):
        return Failure(error.code, str(error))
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return Failure("disk_full", "no space is left in the worker's cache folder")
    if isinstance(error, OSError):
        return Failure("io", f"{type(error).__name__}: {error.strerror or error}")
    return Failure("internal", f"the worker failed with {type(error).__name__}; its log says more")


def child_outcome(child: Child, folder: Path, n_upstream: int) -> Outcome:
    """What an ended child left: its result, its own error, or the signal that killed it."""
    if child.returncode == 0:
        try:
            return _checked_result(folder, n_upstream)
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Failure("io", f"the child's result cannot be read: {type(error).__name__}: {error}")
    return failure_left(child, folder)


def failure_left(child: Child, folder: Path) -> Failure:
    """What an ended child without a result has said of itself, or the signal that killed it."""
    failure = _told(folder) or _untold(child.returncode)
    if failure.code == "internal":
        where = {"frames": read_last_words(folder), "child_log": str(keep_log(folder) or "")}
        log.error("the child failed without an error of its own; its log is kept", extra=where)
    return failure


def spooled_result(folder: Path, n_upstream: int) -> JobResult | None:
    """The result of an earlier attempt that never reached the database; one that cannot be used is removed."""
    try:
        return _checked_result(folder, n_upstream)
    except FileNotFoundError:
        pass
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("the result of an earlier attempt is of no use: %s", error)
    (folder / "result.json").unlink(missing_ok=True)
    return None


def _checked_result(folder: Path, n_upstream: int) -> JobResult:
    result = read_result(folder)
    json.dumps(result.report, allow_nan=False)  # Postgres stores no NaN in JSON
    if result.after.shape != (n_upstream,):
        raise ValueError(f"{result.after.size} examples were measured instead of {n_upstream}")
    return result


def _told(folder: Path) -> Failure | None:
    """The error that the child itself has named."""
    try:
        told = json.loads((folder / "error.json").read_bytes())
        return Failure(str(told["code"])[:64], str(told["detail"])[:2000])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _untold(status: int | None) -> Failure:
    if status == -signal.SIGKILL:
        return Failure("host_oom", "the child was killed, most likely because the host ran out of memory")
    if status == DISK_FULL:
        return Failure("disk_full", "no space is left in the worker's cache folder")
    if status is not None and status < 0:
        return Failure("internal", f"the child ended by {signal.Signals(-status).name}")
    return Failure("internal", f"the child ended with status {status} and without a result")
