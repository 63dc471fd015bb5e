"""Does replaying what a forecast names prevent forgetting? Fine-tuning runs on the bundled model, a line each.

    python -m benchmarks.evidence tuning|primary|described [--processes 2] [--minutes 60]

A finished run is a line of benchmarks/evidence.jsonl and is not made again, so the command goes on where it stopped.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from itertools import islice
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch

from benchmarks.evidence import design
from benchmarks.evidence.choosing import draw_order, split, worst
from benchmarks.evidence.design import Run
from benchmarks.evidence.training import Laboratory
from bundled.model import ensure_model
from bundled.sets import ANSWERS
from forgetcast.folders import cache_folder

LINES = Path(__file__).parents[1] / "evidence.jsonl"
PARTS = {"tuning": design.tuning, "primary": design.primary, "described": design.described}

_laboratory: Laboratory | None = None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=sorted(PARTS))
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="runs side by side, a thread each")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after so many")
    options = parser.parse_args()
    try:
        runs = list(PARTS[options.part]())
    except design.NotFrozen as error:
        parser.error(str(error))
    tasks, model = cache_folder() / "matrix" / "tasks", ensure_model()
    command = [sys.executable, "-m", "bundled.tasks", str(tasks), "--cache", str(cache_folder() / "wheels")]
    subprocess.run(command, check=True, stdout=sys.stderr)
    done = [line["run"] for line in read_lines()]
    missing = [run for run in runs if run.key not in done]
    print(f"{len(missing)} runs to make", file=sys.stderr)
    until = time.monotonic() + 60 * options.minutes
    with ProcessPoolExecutor(options.processes, initializer=_open, initargs=(model, tasks)) as pool:
        for line in _made(pool, iter(missing), options.processes, until):
            with LINES.open("a", encoding="utf-8") as out:
                out.write(json.dumps(line) + "\n")
            _tell(line)


def _tell(line: dict[str, Any]) -> None:
    run = " ".join(str(value) for value in line["run"].values() if value)
    means = f"held-out mean {line['held_out_mean']:+.4f}, worst {line['worst_mean']:+.4f}"
    print(f"{run}: {means}, task loss {line['task_loss']:.3f}, {line['seconds']:.0f} s", file=sys.stderr, flush=True)


def read_lines() -> list[dict[str, Any]]:
    if not LINES.exists():
        return []
    return [json.loads(line) for line in LINES.read_text(encoding="utf-8").splitlines()]


def _made(pool: ProcessPoolExecutor, runs: Iterator[Run], n_at_once: int, until: float) -> Iterator[dict[str, Any]]:
    at_work: set[Future[dict[str, Any]]] = {pool.submit(_line, run) for run in islice(runs, n_at_once)}
    while at_work:
        finished, at_work = wait(at_work, return_when=FIRST_COMPLETED)
        for future in finished:
            yield future.result()
        if time.monotonic() < until:
            at_work |= {pool.submit(_line, run) for run in islice(runs, len(finished))}


def _open(model: Path, tasks: Path) -> None:
    global _laboratory
    torch.set_num_threads(1)
    _laboratory = Laboratory(model, tasks, ANSWERS.folder / "upstream.jsonl")


def _line(run: Run) -> dict[str, Any]:
    assert _laboratory is not None
    held_out = split().held_out
    replayed = _replayed(_laboratory, run)
    outcome = _laboratory.run(run.task, run.seed, replayed, held_out.tolist())
    forgetting = outcome.log_perplexity - ANSWERS.before()[held_out]
    ids = [json.loads(line)["id"] for line in ANSWERS.lines]
    return {
        "run": run.key,
        "held_out_mean": round(float(forgetting.mean()), 5),
        "worst_mean": round(float(forgetting[worst(run.task)].mean()), 5),
        "task_loss_before": round(outcome.task_loss_before, 5),
        "task_loss": round(outcome.task_loss, 5),
        "replayed": [ids[place] for place in replayed],
        "held_out": [round(float(value), 4) for value in forgetting],
        "train_losses": [round(loss, 4) for loss in outcome.train_losses],
        "seconds": round(outcome.seconds, 1),
        "versions": {"torch": torch.__version__},
    }


def _replayed(laboratory: Laboratory, run: Run) -> list[int]:
    """Examples in the order of their draw until as many tokens are replayed as the ratio asks for: arms are equal in
    tokens, not in examples."""
    if not run.arm.ratio:
        return []
    pool = split().pool
    mean_tokens = sum(laboratory.n_scored(place) for place in pool.tolist()) / pool.size
    budget = run.arm.ratio * laboratory.n_task_examples() * mean_tokens
    chosen, n_tokens = list[int](), 0
    for place in draw_order(run.arm, run.task, run.seed).tolist():
        own = laboratory.n_scored(place)
        if n_tokens + own / 2 > budget:
            break
        chosen.append(place)
        n_tokens += own
    return chosen


if __name__ == "__main__":
    main()
