"""Folders that outlive the attempt that made them: checkpoints and fine-tuned weights. Knows no torch.

A folder is sealed last, with the sha256 of every file in it and the name of the order it was made for: half a folder, a
damaged one, or another order's counts as none.
"""

from __future__ import annotations

import json
import shutil
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

from workers.job_directory import sha256_of_file, write_file

SEAL = "sealed.json"
CHEAP = 20  # a checkpoint may cost a twentieth of the time it can save


def seal(folder: Path, made_for: str, **facts: Any) -> dict[str, Any]:
    """Say that the folder is whole, and what else is to be known of it."""
    said = {"made_for": made_for, "files": _files(folder), **facts}
    write_file(folder / SEAL, json.dumps(said).encode())
    return said


def read_seal(folder: Path, made_for: str) -> dict[str, Any] | None:
    """What the seal says; None unless the folder was made for this order and every file of it is as it was."""
    try:
        said = json.loads((folder / SEAL).read_bytes())
        whole = said["made_for"] == made_for and said["files"] == _files(folder)
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return said if whole else None


class Checkpoints:
    """The newest checkpoint of one fine-tuning. An older one is removed only when the next is sealed."""

    def __init__(self, folder: Path, made_for: str, every: timedelta) -> None:
        self.folder = folder
        self._made_for, self._every = made_for, every.total_seconds()
        self._began = self._last = time.monotonic()

    def newest(self) -> Path | None:
        """The newest one that is whole; what is not is removed, so that fine-tuning starts again."""
        found = sorted(self.folder.glob("checkpoint-*"), key=_step, reverse=True)
        whole = next((path for path in found if read_seal(path, self._made_for) is not None), None)
        for path in found:
            if path != whole:
                shutil.rmtree(path, ignore_errors=True)
        return whole

    def due(self) -> bool:
        """Whether it is time for one; whoever asks and hears yes makes it."""
        if time.monotonic() - self._last < self._every:
            return False
        self._began = time.monotonic()
        return True

    def keep(self, step: int) -> None:
        """Seal the checkpoint that was just written, and remove those before it."""
        path = self.folder / f"checkpoint-{step}"
        # The trainer pickles its arguments, which nobody reads again.
        (path / "training_args.bin").unlink(missing_ok=True)
        seal(path, self._made_for)
        for older in self.folder.glob("checkpoint-*"):
            if older != path:
                shutil.rmtree(older, ignore_errors=True)
        self._last = time.monotonic()
        self._every = max(self._every, CHEAP * (self._last - self._began)) if self._every else 0.0


def remove_unsealed(folder: Path) -> None:
    """Give back the space of what was only half written."""
    for path in folder.glob("*"):
        if path.is_dir() and not (path / SEAL).exists():
            shutil.rmtree(path, ignore_errors=True)


def _files(folder: Path) -> dict[str, str]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    return {path.relative_to(folder).as_posix(): sha256_of_file(path) for path in paths}


def _step(path: Path) -> int:
    number = path.name.rpartition("-")[2]
    return int(number) if number.isdigit() else -1
