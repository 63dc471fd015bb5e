"""A GPU belongs to one worker: a file lock, which no dead process can keep."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from forgetcast.errors import ConfigurationError

log = logging.getLogger(__name__)

LOCK_FOLDER = Path("/run/lock")
LIST_GPUS = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")


@dataclass(frozen=True)
class Gpu:
    """A GPU that is ours. Its child keeps `lock` too, so that the GPU is free only when nobody uses it any more."""

    name: str
    lock: int

    @property
    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": self.name}

    def release(self) -> None:
        os.close(self.lock)


def take_gpu(environment: Mapping[str, str] = os.environ, folder: Path | None = None) -> Gpu | None:
    """Hold the first free GPU; None on a host without one.

    Raises ConfigurationError when other workers hold all of them: two jobs would share its memory, and both fail.
    """
    names = visible_gpus(environment)
    for name in names:
        lock = lock_file((folder or _lock_folder()) / f"forgetcast-gpu-{name}.lock")
        if lock is not None:
            log.info("GPU %s", name)
            return Gpu(name, lock)
    if names:
        raise ConfigurationError(f"other workers hold every GPU of this host ({', '.join(names)}); stop one of them")
    return None


def visible_gpus(environment: Mapping[str, str]) -> list[str]:
    """UUIDs of the GPUs that this process may use, in the order of CUDA_VISIBLE_DEVICES."""
    uuid_of = _installed_gpus()
    allowed = environment.get("CUDA_VISIBLE_DEVICES")
    if allowed is None:
        return list(uuid_of.values())
    visible: list[str] = []
    for entry in filter(None, (entry.strip() for entry in allowed.split(","))):
        if entry.isdigit() and entry not in uuid_of:
            break  # CUDA too ignores what follows an entry that it does not know
        if entry.startswith("-"):
            break
        visible.append(uuid_of.get(entry, entry))
    return visible


def lock_file(path: Path) -> int | None:
    """Lock a file, made when absent, or a folder; its descriptor holds the lock. None when someone else has it."""
    if not path.exists():
        path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def _installed_gpus() -> dict[str, str]:
    """Index -> UUID, asked of the driver's own tool: torch would take memory on each GPU."""
    try:
        listed = subprocess.run(LIST_GPUS, capture_output=True, text=True, timeout=30, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = (line.split(",") for line in listed.splitlines() if "," in line)
    return {row[0].strip(): row[1].strip() for row in rows}


def _lock_folder() -> Path:
    """One place for all users of the host, where there is one."""
    return LOCK_FOLDER if os.access(LOCK_FOLDER, os.W_OK) else Path(tempfile.gettempdir())
