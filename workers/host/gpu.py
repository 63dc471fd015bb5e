"""A GPU belongs to one worker: a file lock, which no dead process can keep."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forgetcast.errors import ConfigurationError

log = logging.getLogger(__name__)

LOCK_FOLDER = Path("/run/lock")
LOOK_AGAIN_AFTER = 1.0  # seconds, while every GPU is held
LIST_GPUS = ("nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader")


@dataclass(frozen=True)
class Gpu:
    """A GPU that is ours, or several for one job. Its child keeps `locks` too, so that the GPU is free only when nobody
    uses it any more."""

    names: tuple[str, ...]
    locks: tuple[int, ...]

    @property
    def name(self) -> str:
        """As it stands in the database: of several the first, and how many there are beside it."""
        return self.names[0] if len(self.names) == 1 else f"{self.names[0]} +{len(self.names) - 1}"

    @property
    def environment(self) -> dict[str, str]:
        return {"CUDA_VISIBLE_DEVICES": ",".join(self.names)}

    def release(self) -> None:
        for lock in self.locks:
            os.close(lock)


@dataclass(frozen=True)
class Gpus:
    """The GPUs that this process may use: names in order, index -> name, and where their locks are."""

    names: tuple[str, ...]
    by_index: Mapping[str, str]
    lock_folder: Path

    @classmethod
    def visible(cls, environment: Mapping[str, str] = os.environ) -> Gpus:
        """Those of the host that CUDA_VISIBLE_DEVICES leaves, by UUID."""
        uuid_of = _installed_gpus()
        return cls(tuple(_visible(uuid_of, environment.get("CUDA_VISIBLE_DEVICES"))), uuid_of, _lock_folder())

    @classmethod
    def simulated(cls, n_gpus: int, lock_folder: Path) -> Gpus:
        """Names that no driver knows, so that their jobs run on the CPU: for tests of everything around a GPU."""
        by_index = {str(number): f"SIMULATED-{number}" for number in range(n_gpus)}
        return cls(tuple(by_index.values()), by_index, lock_folder)

    def chosen(self, wanted: str) -> tuple[str, ...]:
        """What `all`, or indices and UUIDs with commas between, stand for. Raises ConfigurationError."""
        if wanted == "all":
            return self.names
        chosen = [self.by_index.get(entry, entry) for entry in map(str.strip, wanted.split(","))]
        unknown = [entry for entry in chosen if entry not in self.names]
        if unknown:
            there = ", ".join(self.names) or "none"
            raise ConfigurationError(f"there is no GPU {unknown[0]!r} that this process may use; there are: {there}")
        return tuple(dict.fromkeys(chosen))

    def take(self, names: Sequence[str], *, n_devices: int = 1, shared: bool = False) -> Gpu | None:
        """Hold the first of these that are free; None, and none is held, when there are too few. Workers that share
        leave them to each other."""
        held: dict[str, int] = {}
        for name in names:
            lock = lock_file(self.lock_folder / f"forgetcast-gpu-{name}.lock", shared=shared)
            if lock is not None:
                held[name] = lock
            if len(held) == n_devices:
                log.info("GPU %s", ", ".join(held))
                return Gpu(tuple(held), tuple(held.values()))
        for lock in held.values():
            os.close(lock)
        return None

    def wait(
        self, names: Sequence[str], stop: threading.Event, *, n_devices: int = 1, shared: bool = False
    ) -> Gpu | None:
        """Hold as many of these as soon as they are free; None when `stop` is set before."""
        told = False
        while not stop.is_set():
            gpu = self.take(names, n_devices=n_devices, shared=shared)
            if gpu is not None:
                return gpu
            if not told:
                enough = "one is" if n_devices == 1 else f"{n_devices} are"
                log.warning("other workers hold %s; no job is claimed until %s free", ", ".join(names), enough)
            told = True
            stop.wait(LOOK_AGAIN_AFTER)
        return None


def _visible(uuid_of: Mapping[str, str], allowed: str | None) -> list[str]:
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


def lock_file(path: Path, *, shared: bool = False) -> int | None:
    """Lock a file, made when absent, or a folder; its descriptor holds the lock. None when someone else has it."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
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
