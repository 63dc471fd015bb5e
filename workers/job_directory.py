"""The job directory: everything a child may see, and everything it leaves behind. Knows no torch and no database.

job.json          what to do (JobOrder)                       written by the supervisor
dataset.jsonl     fine-tuning data, as the user sent it       "
upstream.jsonl    the upstream examples to measure, in order  "
before.npy        (n,) float32, NaN where the base value is not known yet   "
blocks/after-0003.npy, blocks/before-0003.npy                 written by the child, each in one rename
result.json       block names with sha256, timings, versions  "      only when everything above is complete
error.json        {code, detail} of a failed attempt          "
"""

from __future__ import annotations

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

BLOCK_SIZE = 256  # examples a block: about half a minute of measuring on 2 cores, the most that a crash can cost

Values = NDArray[np.float32]


@dataclass(frozen=True)
class JobOrder:
    """One attempt at one job. `recipe` and `setting` are the matrix's own, see forgetcast.schemas."""

    job_id: str
    attempt: int
    model_folder: str
    recipe: dict[str, Any]
    setting: dict[str, Any]
    seed: int
    split: int = 1  # batches are made so many times smaller, after the GPU was full; the recipe's updates stay the same

    def write(self, folder: Path) -> None:
        write_file(folder / "job.json", json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> JobOrder:
        return cls(**json.loads((folder / "job.json").read_bytes()))


@dataclass(frozen=True)
class JobResult:
    """What a finished attempt reports: log-perplexity before and after, one value an upstream line."""

    before: Values
    after: Values
    report: dict[str, Any]


def write_block(folder: Path, name: str, values: Values) -> None:
    """Put one block in place, whole or not at all."""
    target = folder / "blocks" / f"{name}.npy"
    target.parent.mkdir(exist_ok=True)
    scratch = target.with_suffix(".tmp")
    with scratch.open("wb") as file:
        np.save(file, values, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(target)


def write_result(folder: Path, report: dict[str, Any]) -> None:
    blocks = {path.name: _sha256(path) for path in sorted((folder / "blocks").glob("*.npy"))}
    write_file(folder / "result.json", json.dumps({"blocks": blocks, **report}, indent=1).encode())


def read_result(folder: Path) -> JobResult:
    """The finished result, every block checked against its sha256.

    Raises ValueError when a block is missing, altered, or holds a value that is not finite.
    """
    report = json.loads((folder / "result.json").read_bytes())
    for name, sha256 in report["blocks"].items():
        if _sha256(folder / "blocks" / name) != sha256:
            raise ValueError(f"block {name} does not match its sha256")
    before, after = _read_blocks(folder, "before"), _read_blocks(folder, "after")
    if before.shape != after.shape or not np.isfinite(before).all() or not np.isfinite(after).all():
        raise ValueError("the blocks hold values that are missing or not finite")
    return JobResult(before, after, report)


def write_file(path: Path, content: bytes) -> None:
    """Write whole or not at all: a reader never meets half a file."""
    scratch = path.with_name(path.name + ".tmp")
    with scratch.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(path)


def _read_blocks(folder: Path, kind: str) -> Values:
    parts = [np.load(path, allow_pickle=False) for path in sorted((folder / "blocks").glob(f"{kind}-*.npy"))]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
