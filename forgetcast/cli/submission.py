"""From a fine-tuning file to a measured task, as `forgetcast forecast` and the demo do it."""

from __future__ import annotations

import itertools
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.output import note
from forgetcast.cli.progress import follow_progress
from forgetcast.errors import MatrixNotFound

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle
    from forgetcast.schemas import Job


def only_matrix(client: ForgetcastClient) -> str:
    """The service's matrix when there is one only. Raises MatrixNotFound, or click's usage error for several."""
    found = [matrix.id for matrix in itertools.islice(client.matrices.list(), 6)]
    if not found:
        raise MatrixNotFound(f"{client.url} has no matrix yet; `make run` or `forgetcast matrix import` makes one")
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise click.UsageError(f"which matrix? Name one by --matrix: {shown}")
    return found[0]


def submit(
    client: ForgetcastClient,
    file: Path,
    *,
    matrix: str,
    task_id: str | None = None,
    size: int = 30,
    seed: int = 1,
    quiet: bool = False,
) -> TaskHandle:
    """Upload and register a file; what failed before is ordered again, what is measured is not."""
    from forgetcast.schemas import JobState

    say = (lambda message: None) if quiet else note
    task = client.tasks.create(file, matrix=matrix, id=task_id, size=size, seed=seed)
    job = task.job()
    if task.task.n_measured and (job is None or job.terminal):
        say(f"task {task.id} is already measured")
    elif job is not None and job.state in (JobState.FAILED, JobState.CANCELLED):
        why = f" ({job.error.detail})" if job.error else ""
        say(f"task {task.id}: the last job ended as {job.state}{why}; measuring again")
        task.measure_again()
    elif task.existed:
        say(f"task {task.id} is there already; following its job")
    else:
        say(f"task {task.id} submitted")
    for warning in task.task.warnings:
        say(f"warning: {warning}")
    return task


def wait(task: TaskHandle, *, timeout: timedelta | None = None, quiet: bool = False) -> Job | None:
    """The job that measured the task, followed while it runs; None for a task that was measured without one."""
    job = task.job()
    if job is None or (job.terminal and task.task.n_measured):
        return job
    with follow_progress(quiet=quiet) as show:
        return task.wait(timeout=timeout, on_event=show)


@contextmanager
def leave_running(task_id: str) -> Iterator[None]:
    """Ctrl-C ends the waiting, not the job, and says so."""
    try:
        yield
    except KeyboardInterrupt:
        url = click.get_current_context().params.get("url")
        where = f"{task_id} --url {shlex.quote(url)}" if url else task_id
        note(
            f"\nthe job goes on; follow it with `forgetcast task wait {where}`, "
            f"end it with `forgetcast task cancel {where}`"
        )
        raise click.exceptions.Exit(130) from None
