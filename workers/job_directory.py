"""The job directory: everything a child may see, and everything it leaves behind. Knows no torch and no database.

job.json          what to do (JobOrder)                       written by the supervisor
dataset.jsonl     fine-tuning data as the user sent them, in whatever layout (forgetcast.layouts)   "
upstream.jsonl    the upstream examples to measure, in order, each with its id                      "
before.npy        (n,) float32, NaN where the base value is not known yet, infinite where nothing can be scored   "
trainer/checkpoint-25/                                        written by the child, sealed last (sealed.py)
blocks/after-00003.npy, blocks/before-00003.npy               "      each in one rename
blocks/after_exact-00003.npy, …   int8: 1 where greedy decoding writes the scored tokens, 0 where not, -1 unknown     "
blocks/after-00003.json                                       "      its sha256, and the weights it was measured with
result.json       block names with sha256, timings, versions  "      only when everything above is complete
error.json        {code, detail} of a failed attempt          "

The directory stays until the job ends: the next attempt on this host goes on from what is whole in it.
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

from forgetcast.marks import NOTHING_TO_SCORE

BLOCK_SIZE = 256  # examples a block: about half a minute of measuring on 2 cores, the most that a crash can cost

NOT_KNOWN = -1  # whether greedy decoding writes an example, where nobody has looked

Values = NDArray[np.float32]
Flags = NDArray[np.int8]


@dataclass(frozen=True)
class JobOrder:
    """One attempt at one job. `recipe` and `setting` are the matrix's own, see forgetcast.schemas."""

    job_id: str
    attempt: int
    fence: int
    model_folder: str
    model_revision: str
    recipe: dict[str, Any]
    setting: dict[str, Any]
    seed: int
    dataset_sha256: str
    weights_folder: str  # where the fine-tuned weights are kept, and found again
    ways_folder: str = ""  # where it is kept how models are read; empty, and each attempt finds out
    split: int = 1  # batches are made so many times smaller, after the GPU was full; the recipe's updates stay the same
    checkpoint_seconds: float = 600.0
    max_steps: int = 1_000_000  # this deployment's limit, which a recipe of epochs meets here

    @property
    def sha256(self) -> str:
        """Of what decides the result: the same for every attempt."""
        return digest_of(self.job_id, self.training_sha256, self.setting)

    @property
    def training_sha256(self) -> str:
        """Of what decides the fine-tuned weights: the same for every job of the task."""
        return digest_of(self.model_revision, self.recipe, self.seed, self.dataset_sha256)

    def write(self, folder: Path) -> None:
        write_file(folder / "job.json", json.dumps(asdict(self), indent=1).encode())

    @classmethod
    def read(cls, folder: Path) -> JobOrder:
        return cls(**json.loads((folder / "job.json").read_bytes()))


@dataclass(frozen=True)
class JobResult:
    """What a finished attempt reports: log-perplexity before and after, one value an upstream line, both infinite
    where an example has nothing to score; and whether greedy decoding writes it: 1, 0, or NOT_KNOWN."""

    before: Values
    after: Values
    before_exact: Flags
    after_exact: Flags
    report: dict[str, Any]


def digest_of(*parts: Any) -> str:
    """sha256 of anything that JSON can write."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def exact(kind: str) -> str:
    """The kind of the blocks that say whether greedy decoding writes what the blocks of `kind` have measured."""
    return f"{kind}_exact"


def write_block(folder: Path, kind: str, number: int, values: Values | Flags, weights: str = "") -> None:
    """Put one block in place, whole or not at all; `weights` names the model that it was measured with."""
    target = _block(folder, kind, number)
    target.parent.mkdir(exist_ok=True)
    scratch = target.with_suffix(".tmp")
    with scratch.open("wb") as file:
        np.save(file, values, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    scratch.replace(target)
    note = {"sha256": sha256_of_file(target), "weights": weights}
    write_file(target.with_suffix(".json"), json.dumps(note).encode())


def read_block(folder: Path, kind: str, number: int, weights: str) -> NDArray[Any] | None:
    """A block of an earlier attempt; None when it is absent, damaged, or was measured with other weights."""
    target = _block(folder, kind, number)
    try:
        if json.loads(target.with_suffix(".json").read_bytes()) != {
            "sha256": sha256_of_file(target),
            "weights": weights,
        }:
            return None
        values: NDArray[Any] = np.load(target, allow_pickle=False)
    except (OSError, ValueError):
        return None
    return values


def _block(folder: Path, kind: str, number: int) -> Path:
    return folder / "blocks" / f"{kind}-{number:05d}.npy"


def write_result(folder: Path, report: dict[str, Any]) -> None:
    blocks = {path.name: sha256_of_file(path) for path in sorted((folder / "blocks").glob("*.npy"))}
    order = JobOrder.read(folder).sha256
    write_file(folder / "result.json", json.dumps({"order": order, "blocks": blocks, **report}, indent=1).encode())


def read_result(folder: Path) -> JobResult:
    """The finished result, every block checked against its sha256.

    Raises ValueError when it belongs to another order, or a block is altered or holds a value that is not finite, and
    OSError when something is missing.
    """
    report = json.loads((folder / "result.json").read_bytes())
    if report["order"] != JobOrder.read(folder).sha256:
        raise ValueError("it was made for another order")
    for name, sha256 in report["blocks"].items():
        if sha256_of_file(folder / "blocks" / name) != sha256:
            raise ValueError(f"block {name} does not match its sha256")
    before, after = _read_blocks(folder, "before"), _read_blocks(folder, "after")
    if before.shape != after.shape or not (_has_value(before) & _has_value(after)).all():
        raise ValueError("the blocks hold values that are missing or not finite")
    if not np.array_equal(before == NOTHING_TO_SCORE, after == NOTHING_TO_SCORE):
        raise ValueError("an example was measured either before fine-tuning or after it, and not both times")
    before_exact, after_exact = (_read_blocks(folder, exact(kind)).astype(np.int8) for kind in ("before", "after"))
    if not before_exact.shape == after_exact.shape == before.shape:
        raise ValueError("the blocks do not say of every example whether greedy decoding writes it")
    return JobResult(before, after, before_exact, after_exact, report)


def _has_value(values: Values) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = np.isfinite(values) | (values == NOTHING_TO_SCORE)
    return found


def read_base_values(folder: Path) -> Values:
    """What was measured before fine-tuning, once all of it is there."""
    return _read_blocks(folder, "before")


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


def sha256_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
