"""The bundled upstream sets, each with a matrix of its own: which files belong to one.

upstream.jsonl   the examples               matrix.json      base model, recipe and setting
before.npy       (N,) float32, log-perplexity before fine-tuning, nats per token
before_exact.npy (N,) int8, whether the base model's greedy decoding writes the example
rows/RUN.npy     (N,) float32, forgetting   rows/RUN.json    the run's provenance
rows/RUN.exact.npy (N,) int8, whether greedy decoding still writes it after fine-tuning
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from workers.job_directory import NOT_KNOWN, Flags, Values

HERE = Path(__file__).parent


@dataclass(frozen=True)
class UpstreamSet:
    """One set and what was measured on it; a run's name is `<task>.seed-<fine-tuning seed>`."""

    folder: Path

    @property
    def name(self) -> str:
        return str(self.matrix["upstream_set"])

    @property
    def matrix(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.folder / "matrix.json").read_text(encoding="utf-8"))
        return found

    @property
    def lines(self) -> list[str]:
        return (self.folder / "upstream.jsonl").read_text(encoding="utf-8").splitlines()

    @property
    def sha256(self) -> str:
        return hashlib.sha256((self.folder / "upstream.jsonl").read_bytes()).hexdigest()

    @property
    def rows(self) -> Path:
        return self.folder / "rows"

    def before(self) -> Values:
        """NaN where nothing was measured yet."""
        return self._kept("before.npy", np.full(len(self.lines), np.nan, np.float32))

    def before_exact(self) -> Flags:
        return self._kept("before_exact.npy", np.full(len(self.lines), NOT_KNOWN, np.int8))

    def has(self, run: str) -> bool:
        return (self.rows / f"{run}.npy").exists()

    def runs(self, seed: int) -> list[str]:
        """Names of the runs of this fine-tuning seed that have a row, in the order of tasks.json."""
        tasks = json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))
        return [run for task in tasks if self.has(run := f"{task['id']}.seed-{seed}")]

    def exact(self, run: str) -> NDArray[np.bool_]:
        """(N,) whether greedy decoding still writes the example."""
        found: NDArray[np.bool_] = np.load(self.rows / f"{run}.exact.npy", allow_pickle=False) == 1
        return found

    def row(self, run: str) -> Values:
        return np.asarray(np.load(self.rows / f"{run}.npy", allow_pickle=False), np.float32)

    def keep_before(self, before: Values, exact: Flags) -> None:
        save(self.folder / "before.npy", before)
        save(self.folder / "before_exact.npy", exact)

    def keep_row(self, run: str, forgetting: Values, exact: Flags, provenance: dict[str, Any]) -> None:
        """The row itself last: it says that the rest is there."""
        self.rows.mkdir(exist_ok=True)
        (self.rows / f"{run}.json").write_text(json.dumps(provenance, indent=1) + "\n", encoding="utf-8")
        save(self.rows / f"{run}.exact.npy", exact)
        save(self.rows / f"{run}.npy", forgetting)

    def _kept(self, name: str, unmeasured: NDArray[Any]) -> NDArray[Any]:
        path = self.folder / name
        return np.load(path, allow_pickle=False) if path.exists() else unmeasured


def save(path: Path, values: NDArray[Any]) -> None:
    """Whole or not at all."""
    scratch = path.with_name(f".{path.name}")
    with scratch.open("wb") as file:
        np.save(file, values, allow_pickle=False)
    scratch.replace(path)


ANSWERS, GREEDY, MIXED = (UpstreamSet(folder) for folder in (HERE, HERE / "greedy", HERE / "mixed"))
SETS = (ANSWERS, GREEDY, MIXED)
