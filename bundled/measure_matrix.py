"""Measure the bundled matrix: the forgetting of every bundled task on every bundled upstream example.

    python -m bundled.measure_matrix [--only TASK ...] [--children 2]

Each run is one child of the project's own worker (workers.attempt.run); its row is written to bundled/rows as soon as
it is measured, and a row that is there is not measured again. So the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundled.model import ensure_model
from forgetcast.folders import cache_folder
from service.models import folder_sha256
from workers.job_directory import JobOrder, read_result, sha256_of_file

HERE = Path(__file__).parent
ROWS = HERE / "rows"
BEFORE = HERE / "before.npy"
SEED, REPEAT_SEED = 1, 2


@dataclass(frozen=True)
class Run:
    """One task under one fine-tuning seed."""

    task: dict[str, Any]
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task['id']}.seed-{self.seed}"

    @property
    def done(self) -> bool:
        return (ROWS / f"{self.name}.npy").exists()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", help="measure these tasks only")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="runs side by side, a thread each")
    options = parser.parse_args()
    work = cache_folder() / "matrix"
    _build_tasks(work / "tasks")
    model = ensure_model()
    ROWS.mkdir(exist_ok=True)
    catalogue = json.loads((work / "tasks" / "tasks.json").read_text())
    shutil.copyfile(work / "tasks" / "tasks.json", HERE / "tasks.json")
    runs = [run for run in _runs(catalogue) if not run.done and (not options.only or run.task["id"] in options.only)]
    print(f"{len(runs)} runs to measure", file=sys.stderr)
    with ThreadPoolExecutor(options.children) as pool:
        for _ in pool.map(lambda run: _measure(run, work, model, options.children), runs):
            pass


def _build_tasks(folder: Path) -> None:
    command = [sys.executable, "-m", "bundled.tasks", str(folder), "--cache", str(cache_folder() / "wheels")]
    subprocess.run(command, check=True)


def _runs(catalogue: list[dict[str, Any]]) -> Iterator[Run]:
    """Families in turn, then the repeats: so a run that is stopped leaves a matrix of all kinds."""
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in catalogue:
        families[task["family"]].append(task)
    for turn in range(max(map(len, families.values()))):
        yield from (Run(tasks[turn], SEED) for tasks in families.values() if turn < len(tasks))
    yield from (Run(task, REPEAT_SEED) for task in catalogue if task["repeat"])


def _measure(run: Run, work: Path, model: Path, n_children: int) -> None:
    folder = work / "runs" / run.name
    if not (folder / "result.json").exists():
        _order(run, folder, work, model)
        _run_child(folder, threads=max(1, (os.cpu_count() or 1) // n_children))
    result = read_result(folder)
    forgetting = result.after - result.before
    np.save(BEFORE, result.before)
    (ROWS / f"{run.name}.json").write_text(json.dumps(_provenance(result.report), indent=1) + "\n")
    scratch = ROWS / f".{run.name}.npy"
    np.save(scratch, forgetting)
    scratch.replace(ROWS / f"{run.name}.npy")
    shutil.rmtree(folder)
    print(
        f"{run.name}: mean {forgetting.mean():+.4f}, sd {forgetting.std():.4f} nats per token, "
        f"{sum(result.report['seconds'].values()):.0f} s",
        file=sys.stderr,
        flush=True,
    )


def _order(run: Run, folder: Path, work: Path, model: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    matrix = json.loads((HERE / "matrix.json").read_text())
    shutil.copyfile(work / "tasks" / f"{run.task['id']}.jsonl", folder / "dataset.jsonl")
    shutil.copyfile(HERE / "upstream.jsonl", folder / "upstream.jsonl")
    np.save(folder / "before.npy", _known_before())
    order = JobOrder(
        job_id=run.name,
        attempt=1,
        fence=1,
        model_folder=str(model),
        model_revision=folder_sha256(model),
        recipe=matrix["recipe"],
        setting=matrix["setting"],
        seed=run.seed,
        dataset_sha256=sha256_of_file(folder / "dataset.jsonl"),
        weights_folder=str(folder / "weights"),
    )
    order.write(folder)


def _known_before() -> np.ndarray[Any, np.dtype[np.float32]]:
    if BEFORE.exists():
        return np.asarray(np.load(BEFORE, allow_pickle=False), np.float32)
    n_examples = len((HERE / "upstream.jsonl").read_text(encoding="utf-8").splitlines())
    return np.full(n_examples, np.nan, np.float32)


def _run_child(folder: Path, threads: int) -> None:
    with (folder / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, "-m", "workers.attempt.run", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=log,
            env={
                **os.environ,
                "OMP_NUM_THREADS": str(threads),
                "MALLOC_MMAP_THRESHOLD_": str(1 << 32),
                "MALLOC_TRIM_THRESHOLD_": str(1 << 34),
            },
        )
        if child.wait():
            raise SystemExit(f"{folder.name} failed; see {folder / 'log'}")


def _provenance(report: dict[str, Any]) -> dict[str, Any]:
    return {key: report[key] for key in ("seed", "device", "versions", "seconds", "losses")}


if __name__ == "__main__":
    main()
