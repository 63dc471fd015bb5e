"""Measure the bundled matrices: the forgetting of every bundled task on every example of the bundled upstream sets.

    python -m bundled.measure_matrix [--only TASK ...] [--children 2] [--check]

Each run is one child of the project's own worker (workers.attempt.run): one fine-tuning, and one pass over the sets
that lack its row. A row is written as soon as it is measured, and one that is there is not measured again, so the
command goes on where it stopped. `--check` measures the tasks of `--only` twice and says how far they are from what is
kept, and from each other.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bundled.model import ensure_model
from bundled.sets import ANSWERS, HERE, SETS, UpstreamSet
from forgetcast.folders import cache_folder
from forgetcast.schemas import Setting
from service.models import folder_sha256
from workers.job_directory import NOT_KNOWN, Flags, JobOrder, JobResult, Values, read_result, sha256_of_file

SEED, REPEAT_SEED = 1, 2
SAME_BASE = 1e-4  # nats per token: beyond, the base model is not the one that was measured before


@dataclass(frozen=True)
class Run:
    """One task under one fine-tuning seed."""

    task: dict[str, Any]
    seed: int

    @property
    def name(self) -> str:
        return f"{self.task['id']}.seed-{self.seed}"

    @property
    def lacking(self) -> tuple[UpstreamSet, ...]:
        return tuple(each for each in SETS if not each.has(self.name))


@dataclass(frozen=True)
class Bench:
    """Where runs are made, and how many side by side."""

    work: Path
    model: Path
    n_children: int


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", help="measure these tasks only")
    parser.add_argument("--children", type=int, default=os.cpu_count() or 1, help="runs side by side, a thread each")
    parser.add_argument("--check", action="store_true", help="measure again, and compare with what is kept")
    options = parser.parse_args()
    bench = Bench(cache_folder() / "matrix", ensure_model(), options.children)
    _build_tasks(bench.work / "tasks")
    catalogue = json.loads((bench.work / "tasks" / "tasks.json").read_text(encoding="utf-8"))
    _check_catalogue(catalogue)
    runs = [run for run in _runs(catalogue) if not options.only or run.task["id"] in options.only]
    with ThreadPoolExecutor(options.children) as pool:
        if options.check:
            for said in pool.map(lambda run: _compare(run, bench), [run for run in runs if ANSWERS.has(run.name)]):
                print(said, flush=True)
            return
        runs = [run for run in runs if run.lacking]
        print(f"{len(runs)} runs to measure", file=sys.stderr)
        for _ in pool.map(lambda run: _add(run, bench), runs):
            pass


def _build_tasks(folder: Path) -> None:
    command = [sys.executable, "-m", "bundled.tasks", str(folder), "--cache", str(cache_folder() / "wheels")]
    subprocess.run(command, check=True)


def _check_catalogue(catalogue: list[dict[str, Any]]) -> None:
    """Tasks that have rows shall have the data that the rows were measured with."""
    known = {task["id"]: task for task in json.loads((HERE / "tasks.json").read_text(encoding="utf-8"))}
    changed = [
        task["id"] for task in catalogue if task["id"] in known and known[task["id"]]["sha256"] != task["sha256"]
    ]
    if changed:
        raise SystemExit(f"the data of {', '.join(changed)} are not those of bundled/tasks.json any more")
    (HERE / "tasks.json").write_text(json.dumps(catalogue, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _runs(catalogue: list[dict[str, Any]]) -> Iterator[Run]:
    """What the first set lacks before the rest; families in turn, then the repeats: so a run that is stopped leaves a
    matrix of all kinds."""
    families: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for task in catalogue:
        families[task["family"]].append(task)
    turns = range(max(map(len, families.values())))
    runs = [Run(tasks[turn], SEED) for turn in turns for tasks in families.values() if turn < len(tasks)]
    runs += [Run(task, REPEAT_SEED) for task in catalogue if task["repeat"]]
    yield from sorted(runs, key=lambda run: ANSWERS.has(run.name))


def _add(run: Run, bench: Bench) -> None:
    """Measure the rows that a run lacks, and keep them."""
    sets = run.lacking
    result = _measured(run, sets, bench)
    for upstream, place in _places(sets):
        before = _kept_before(upstream, result.before[place], result.before_exact[place])
        forgetting = result.after[place] - before
        upstream.keep_row(run.name, forgetting, result.after_exact[place], _provenance(run, upstream, result, bench))
        print(
            f"{run.name} on {upstream.name}: mean {forgetting.mean():+.4f}, sd {forgetting.std():.4f} nats per token, "
            f"{sum(result.report['seconds'].values()):.0f} s in all",
            file=sys.stderr,
            flush=True,
        )
    shutil.rmtree(_folder(run, bench))


def _compare(run: Run, bench: Bench) -> str:
    """How far a second measurement of the first set is from what is kept, beside how far a third is from the second."""
    results = []
    for _ in range(2):
        shutil.rmtree(_folder(run, bench), ignore_errors=True)
        results.append(_measured(run, (ANSWERS,), bench))
    shutil.rmtree(_folder(run, bench))
    first, second = (result.after - ANSWERS.before() for result in results)
    losses = json.loads((ANSWERS.rows / f"{run.name}.json").read_text(encoding="utf-8"))["losses"]
    loss_apart = max(abs(one - other) for one, other in zip(losses, results[0].report["losses"], strict=True))
    kept, again = np.abs(first - ANSWERS.row(run.name)), np.abs(first - second)
    return (
        f"{run.name}: cells are {kept.max():.2e} nats per token from the kept ones at most and {kept.mean():.1e} on "
        f"average, losses {loss_apart:.1e}; two runs of today are {again.max():.2e} apart at most"
    )


def _measured(run: Run, sets: Sequence[UpstreamSet], bench: Bench) -> JobResult:
    folder = _folder(run, bench)
    if not (folder / "result.json").exists():
        _order(run, folder, sets, bench)
        _run_child(folder, threads=max(1, (os.cpu_count() or 1) // bench.n_children))
    return read_result(folder)


def _folder(run: Run, bench: Bench) -> Path:
    return bench.work / "runs" / run.name


def _order(run: Run, folder: Path, sets: Sequence[UpstreamSet], bench: Bench) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    shutil.copyfile(bench.work / "tasks" / f"{run.task['id']}.jsonl", folder / "dataset.jsonl")
    lines = [line for each in sets for line in each.lines]
    (folder / "upstream.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.save(folder / "before.npy", np.concatenate([_known_before(each) for each in sets]))
    order = JobOrder(
        job_id=run.name,
        attempt=1,
        fence=1,
        model_folder=str(bench.model),
        model_revision=folder_sha256(bench.model),
        recipe=ANSWERS.matrix["recipe"],
        setting=Setting.model_validate(ANSWERS.matrix["setting"]).model_dump(mode="json"),
        seed=run.seed,
        dataset_sha256=sha256_of_file(folder / "dataset.jsonl"),
        weights_folder=str(folder / "weights"),
    )
    order.write(folder)


def _known_before(upstream: UpstreamSet) -> Values:
    """Base values that need not be measured: none before it is known too what greedy decoding writes."""
    known = upstream.before()
    return np.where(upstream.before_exact() == NOT_KNOWN, np.float32(np.nan), known)


def _kept_before(upstream: UpstreamSet, measured: Values, exact: Flags) -> Values:
    """The base values that rows of this set are differences to: those of the first run that measured them."""
    kept = upstream.before()
    if np.isnan(kept).any():
        kept = measured
    apart = float(np.abs(kept - measured).max())
    if apart > SAME_BASE:
        raise SystemExit(
            f"base values of {upstream.name} differ by {apart:.6f} nats per token from those that are kept"
        )
    if (upstream.before_exact() == NOT_KNOWN).any():
        upstream.keep_before(kept, exact)
    return kept


def _places(sets: Sequence[UpstreamSet]) -> Iterator[tuple[UpstreamSet, slice]]:
    start = 0
    for each in sets:
        stop = start + len(each.lines)
        yield each, slice(start, stop)
        start = stop


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


def _provenance(run: Run, upstream: UpstreamSet, result: JobResult, bench: Bench) -> dict[str, Any]:
    measured = {key: result.report[key] for key in ("seed", "device", "versions", "seconds", "losses")}
    return {
        "model": upstream.matrix["model"],
        "model_revision": folder_sha256(bench.model),
        "recipe": upstream.matrix["recipe"],
        "setting": upstream.matrix["setting"],
        "upstream_set": upstream.name,
        "upstream_sha256": upstream.sha256,
        "dataset_sha256": run.task["sha256"],
        **measured,
    }


if __name__ == "__main__":
    main()
