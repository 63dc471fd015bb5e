"""`forgetcast task`: list, register without data, read, wait for, follow, cancel and release."""

from __future__ import annotations

import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forgetcast.cli.failures import failure_of
from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.options import duration, open_client, service_options
from forgetcast.cli.output import note, print_json, print_table, printable, say, say_json
from forgetcast.cli.progress import describe, follow_progress, progress_of
from forgetcast.cli.submission import leave_running, only_matrix
from forgetcast.errors import JobFailed, JobNotFound, TaskNotFound, WaitTimedOut

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.schemas import Event, Task


@click.group()
def task() -> None:
    """List, register, read, wait for, follow, cancel and release tasks."""


@task.command("ls", epilog="Example: forgetcast task ls --matrix smollm2-135m -q")
@click.option("--matrix", metavar="ID", help="Only tasks of this matrix.")
@service_options
def list_tasks(matrix: str | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """List all tasks."""
    with open_client(url) as client:
        found = list(client.tasks.list(matrix=matrix))
    if as_json:
        print_json(list(found))
    elif quiet:
        say("".join(f"{one.id}\n" for one in found), nl=False)
    else:
        rows = [
            (one.id, one.name or "", _day(one), one.matrix, one.family or "", str(one.n_measured), _kind(one))
            for one in found
        ]
        headings = ["task", "file", "registered", "matrix", "family", "measured", ""]
        print_table(headings, rows, to_the_right=["measured"])


CREATE_EXAMPLES = """\b
Examples:
  forgetcast task create --id my-run --n-examples 5000
  forgetcast task create --dataset past-task.jsonl --full --family support
"""


@task.command("create", epilog=CREATE_EXAMPLES)
@click.option("--id", "task_id", metavar="ID", help="Your own id for the task.")
@click.option("--matrix", metavar="ID", help="Matrix to forecast in; needed when the service has several.")
@click.option("--dataset", type=INPUT_FILE, metavar="FILE", help="Its data, which a worker fine-tunes on; - is stdin.")
@click.option("--full", is_flag=True, help="With --dataset: measure every upstream example, for a known row.")
@click.option("--n-examples", type=click.IntRange(1), help="Size of its data, for replay sets by ratio.")
@click.option("--family", help="Tasks of one family are left out together in back-tests.")
@service_options
def create(
    task_id: str | None,
    matrix: str | None,
    dataset: Path | None,
    full: bool,
    n_examples: int | None,
    family: str | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Register a task: one whose data stay with you, or with --dataset one that a worker measures.

    `forgetcast measure TASK --from FILE` posts what your own run measured.
    """
    if full and dataset is None:
        raise click.UsageError("--full goes with --dataset")
    with open_client(url) as client:
        found = client.tasks.create(
            dataset,
            id=task_id,
            matrix=matrix or only_matrix(client),
            measure="full" if full else None,
            n_examples=n_examples,
            family=family,
        )
    if as_json:
        print_json(found.task)
    else:
        say(found.id)
        if not quiet:
            measured = f"a worker measures it; `forgetcast task wait {found.id}` follows"
            posted = f"post its cells with `forgetcast measure {found.id} --from FILE`"
            note(posted if dataset is None else measured)


@task.command("get", epilog="Example: forgetcast task get my-task --json")
@click.argument("task_id", metavar="TASK")
@service_options
def get(task_id: str, url: str | None, as_json: bool, quiet: bool) -> None:
    """Show one task and its newest job."""
    with open_client(url) as client:
        found = client.tasks.get(task_id)
        job = found.job()
    if as_json:
        print_json({"task": found.task, "job": job})
        return
    if quiet:
        say(found.id)
        return
    shown = {name: value for name, value in found.task.model_dump(mode="json").items() if value not in (None, [])}
    if job is not None:
        shown |= {"state": job.state.value, "attempt": f"{job.attempt} of {job.max_attempts}"}
        if job.error is not None:
            shown |= {"error": f"{job.error.detail} ({job.error.code})", "what to do": job.error.hint}
    print_table(["field", "value"], [(name, str(value)) for name, value in shown.items()])


@task.command("wait", epilog="Example: forgetcast task wait my-task --timeout 2h && forgetcast forgotten my-task")
@click.argument("task_ids", metavar="TASK...", nargs=-1, required=True)
@click.option("--timeout", type=duration, help="Give up waiting after 90s, 10m or 2h (exit 5); the job goes on.")
@service_options
def wait(task_ids: tuple[str, ...], timeout: timedelta | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """Wait until every TASK is measured; exit 1 when a job failed, 5 when the time was over before."""
    until = None if timeout is None else time.monotonic() + timeout.total_seconds()
    ended = []
    with open_client(url) as client:
        for task_id in task_ids:
            left = None if until is None else timedelta(seconds=max(0.0, until - time.monotonic()))
            ended.append(_wait_for(client, task_id, left, as_json, quiet))
    # One that failed is raised before one that goes on: waiting longer would not help.
    failures = sorted((failure for failure in ended if failure is not None), key=lambda failure: -failure.exit_code)
    for failure in failures[:-1]:
        failure.show()
    if failures:
        raise failures[-1]


def _wait_for(
    client: ForgetcastClient, task_id: str, timeout: timedelta | None, as_json: bool, quiet: bool
) -> click.ClickException | None:
    """Print the job that measured one task, or give back why there is none to print."""
    try:
        found = client.tasks.get(task_id)
    except TaskNotFound as error:
        return failure_of(error)
    if found.task.job is None and found.task.n_measured:  # imported, or posted
        if as_json:
            print_json(found.task)
        else:
            say(task_id if quiet else f"{task_id}: {found.task.n_measured} examples measured without a job")
        return None
    try:
        with leave_running(task_id), follow_progress(quiet=quiet) as show:
            job = found.wait(timeout=timeout, on_event=show)
    except (JobFailed, WaitTimedOut, JobNotFound) as error:
        return failure_of(error)
    if as_json:
        print_json(job)
    else:
        say(task_id if quiet else f"{task_id}: {job.state.value}, {job.n_examples} examples measured")
    return None


@task.command("release", epilog="Example: forgetcast task release my-task --weights-sha256 SHA256")
@click.argument("task_id", metavar="TASK")
@click.option("--weights-sha256", required=True, help="Of the weights that were released.")
@click.option("--gate", help="The verdict that it was released by, gate_…")
@service_options
def release(task_id: str, weights_sha256: str, gate: str | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """Mark the model of TASK as released: policies with `baseline: auto` compare with the last one."""
    with open_client(url) as client:
        kept = client.tasks.release(task_id, weights_sha256.split(maxsplit=1)[0], gate=gate)
    if as_json:
        print_json(kept)
        return
    say(task_id if quiet else f"{task_id}: released with the weights {kept.weights_sha256[:12]}")
    if not quiet:
        for warning in kept.warnings:
            note(f"warning: {warning}")


@task.command("cancel", epilog="Example: forgetcast task cancel my-task")
@click.argument("task_id", metavar="TASK")
@service_options
def cancel(task_id: str, url: str | None, as_json: bool, quiet: bool) -> None:
    """Ask the newest job of TASK to end."""
    with open_client(url) as client:
        job = client.jobs.cancel(_job_id(client, task_id))
    if as_json:
        print_json(job)
    else:
        say(job.id if quiet else f"job {job.id} is {job.state.value}, cancelling is asked for")


@task.command("events", epilog="Example: forgetcast task events my-task -f")
@click.argument("task_id", metavar="TASK")
@click.option("-f", "--follow", is_flag=True, help="Go on until the job ends.")
@service_options
def events(task_id: str, follow: bool, url: str | None, as_json: bool, quiet: bool) -> None:
    """Print what happened in the newest job of TASK, one line an event."""

    def show(event: Event) -> None:
        if as_json:
            say_json(event.model_dump_json())
        else:
            say(str(event.id) if quiet else _line(event))

    with open_client(url) as client:
        job_id = _job_id(client, task_id)
        if follow:
            client.jobs.wait(job_id, on_event=show)
        else:
            for event in client.jobs.events(job_id):
                show(event)


def _job_id(client: ForgetcastClient, task_id: str) -> str:
    job_id = client.tasks.get(task_id).task.job
    if job_id is None:
        raise click.ClickException(f"the task {task_id!r} has no job; its row was imported or posted")
    return job_id


def _day(task: Task) -> str:
    return f"{task.created_at.astimezone():%Y-%m-%d %H:%M}"


def _kind(task: Task) -> str:
    if task.repeat_of is not None:
        return f"repeat of {task.repeat_of}"
    return "known row" if task.known else ""


def _line(event: Event) -> str:
    at = progress_of(event)
    text = printable(event.message) if at is None else describe(at)
    return f"{event.created_at:%Y-%m-%d %H:%M:%S}  {event.level:<5}  {text}"
