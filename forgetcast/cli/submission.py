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
from forgetcast.cli.project import read_project
from forgetcast.errors import MatrixEmpty, MatrixNotFound, ModelNotFound

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle
    from forgetcast.schemas import Job, Matrix


def only_matrix(client: ForgetcastClient) -> str:
    """The matrix that forgetcast.toml names, else the service's when there is one only.

    Raises MatrixNotFound, or click's usage error for several.
    """
    named = read_project().matrix
    if named is not None:
        return named
    found = [matrix.id for matrix in itertools.islice(client.matrices.list(), 6)]
    if not found:
        raise MatrixNotFound(f"{client.url} has no matrix yet")
    if len(found) > 1:
        shown = ", ".join(found[:5]) + (", …" if len(found) > 5 else "")
        raise click.UsageError(f"which matrix? Name one by --matrix: {shown}")
    return found[0]


def only_model(client: ForgetcastClient) -> str:
    """The service's base model when there is one only. Raises ModelNotFound, or click's usage error for several."""
    found = [model.id for model in client.models()]
    if not found:
        raise ModelNotFound(
            f"{client.url} has no base model; `forgetcast init --model FOLDER` names one where the service runs here, "
            "else its models.toml does"
        )
    if len(found) > 1:
        raise click.UsageError(f"which base model? Name one by --model: {', '.join(found)}")
    return found[0]


def needed(option: str, value: str | None) -> str:
    """What forgetcast.toml says. Raises click's usage error where it says nothing."""
    if value is None:
        raise click.UsageError(f"{option} is missing, and no forgetcast.toml in this folder says it")
    return value


def refuse_empty(matrix: Matrix) -> None:
    """Raises MatrixEmpty where a forecast would be known beforehand to have nothing to rest on."""
    if matrix.n_tasks == 0:
        raise MatrixEmpty(f"the matrix {matrix.id!r} has no known row, so nothing could be forecast; nothing was sent")


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
