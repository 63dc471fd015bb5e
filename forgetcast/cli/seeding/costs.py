"""What a row costs: told by a job of the matrix, else timed where the model lies on this machine, else not known."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.output import note, say
from forgetcast.errors import ForgetcastError

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.schemas import Job, Matrix, Task

BASE = "base"  # the phase that measures the values before fine-tuning, once


@dataclass(frozen=True)
class Costs:
    """Seconds of a row, and of the base values that the first job measures; `told_by` says how that is known."""

    row: float
    base: float
    told_by: str


def costs_of_jobs(jobs: Sequence[Job], n_examples: int) -> Costs | None:
    """From the newest job that measured every example; None when there is none."""
    whole = [job for job in jobs if job.seconds and job.measure == "full" and job.n_examples == n_examples]
    whole = [job for job in whole if job.seconds and "fine_tune" in job.seconds]
    if not whole:
        return None
    newest = max(whole, key=lambda job: job.created_at)
    return Costs(seconds_of(newest) - (newest.seconds or {}).get(BASE, 0.0), 0.0, f"the job of task {newest.task}")


def seconds_of(job: Job) -> float:
    """What a job took from start to end, with what no phase counts: a process that starts and loads its libraries."""
    if job.started_at is None or job.finished_at is None:
        return sum((job.seconds or {}).values())
    return (job.finished_at - job.started_at).total_seconds()


def known_costs(client: ForgetcastClient, matrix: Matrix, tasks: Sequence[Task], data: Path) -> Costs | None:
    """What is known before anything is ordered."""
    jobs = [
        client.jobs.get(task.job) for task in tasks if task.job is not None and task.n_measured == matrix.n_examples
    ]
    return costs_of_jobs(jobs, matrix.n_examples) or _timed_here(client, matrix, data)


def _timed_here(client: ForgetcastClient, matrix: Matrix, data: Path) -> Costs | None:
    """Timed on this machine, where the model lies on it and a worker could run."""
    from forgetcast.cli.checks import folder_of
    from forgetcast.cli.lazy_group import imported

    began = time.perf_counter()
    try:
        folder = folder_of(matrix.model)
        time_costs = imported("seed", "workers.attempt.timing:time_costs")
    except click.ClickException:
        return None
    start = time.perf_counter() - began  # of every job's process too
    note("timing a few fine-tuning steps and a pass over some upstream examples on this machine")
    with tempfile.TemporaryDirectory(prefix="forgetcast-seed-") as scratch:
        upstream = Path(scratch) / "upstream.jsonl"
        with upstream.open("w", encoding="utf-8") as file:
            for example in client.upstream_sets.examples(matrix.upstream_set):
                content = example.model_dump(mode="json", include={"id", "text", "messages"}, exclude_none=True)
                file.write(json.dumps(content, ensure_ascii=False) + "\n")
        recipe, setting = matrix.recipe.model_dump(mode="json"), matrix.setting.model_dump(mode="json")
        try:
            found = time_costs(folder, recipe, setting, upstream, data)
        except ForgetcastError as error:
            raise click.ClickException(f"the first task cannot be measured: {error} ({error.code})") from error
    # Its weights are loaded, and kept after fine-tuning.
    row = start + 2 * found.load + found.fine_tune + found.upstream
    return Costs(row, found.upstream, f"timed on this machine's {found.device}")


def print_costs(costs: Costs | None, n_rows: int, n_workers: int, on_gpus: bool, has_base: bool) -> float | None:
    """What is going to be spent, in words; the seconds that it takes altogether, None where nobody knows."""
    if costs is None:
        say("what a row costs is not known before one is measured: neither a job nor a model on this machine tells it")
        return None
    base = 0.0 if has_base else costs.base
    work = base + n_rows * costs.row
    whole = base + costs.row * -(-n_rows // n_workers)
    workers = "one worker" if n_workers == 1 else f"{n_workers} workers"
    gpu = f", {work / 3600:.2g} GPU hours" if on_gpus else ""
    first = f", and the values before fine-tuning once {spell(base)}" if base else ""
    say(f"a row takes about {spell(costs.row)}{first} ({costs.told_by})")
    say(f"{n_rows} row{'' if n_rows == 1 else 's'} with {workers}: about {spell(whole)}{gpu}")
    return whole


def spell(seconds: float) -> str:
    """A time as people say it."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"
