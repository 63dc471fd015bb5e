"""`forgetcast forecast FILE`: what will be forgotten when a model is fine-tuned on this file."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import click

from forgetcast.cli.dataset import check_dataset
from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.options import duration, open_client, service_options
from forgetcast.cli.output import note, print_json, say
from forgetcast.cli.report import print_report, read_report
from forgetcast.cli.submission import leave_running, only_matrix, refuse_empty, submit, wait


@click.command(epilog="Example: forgetcast forecast my-task.jsonl --size 30")
@click.argument("file", type=INPUT_FILE)
@click.option("--matrix", metavar="ID", help="Matrix to forecast in; needed when the service has several.")
@click.option("--size", default=30, show_default=True, type=click.IntRange(1), help="Upstream examples to measure.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Seed of fine-tuning.")
@click.option("--id", "task_id", metavar="ID", help="Your own id for the task.")
@click.option("--top", default=20, show_default=True, type=click.IntRange(1), help="Forgotten examples to show.")
@click.option("--no-wait", is_flag=True, help="Submit only; print the task's id.")
@click.option("--timeout", type=duration, help="Give up waiting after 90s, 10m or 2h (exit 5); the job goes on.")
@service_options
def forecast(
    file: Path,
    matrix: str | None,
    size: int,
    seed: int,
    task_id: str | None,
    top: int,
    no_wait: bool,
    timeout: timedelta | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Forecast what a model will forget when it is fine-tuned on FILE.

    FILE has texts, pairs, conversations or instructions, as `forgetcast dataset check` reads them; - is stdin. It is
    uploaded, the model is fine-tuned on it under the matrix's recipe, some upstream examples are measured and all
    others forecast.
    """
    found = check_dataset(file)
    if not quiet:
        note(f"{shown_name(file)}: {found.sentence}")
    with open_client(url) as client:
        matrix = matrix or only_matrix(client)
        refuse_empty(client.matrices.get(matrix))
        task = submit(client, file, matrix=matrix, task_id=task_id, size=size, seed=seed, quiet=quiet)
        if no_wait:
            _print_submitted(task.id, task.task.job, as_json)
            return
        with leave_running(task.id):
            job = wait(task, timeout=timeout, quiet=quiet)
        if quiet:
            say(task.id)
            return
        report = read_report(client, task, job, top)
    if as_json:
        print_json({"task": task.id, "job": job, "forecast": report.forecast, "forgotten": report.forgotten})
    else:
        print_report(report)


def _print_submitted(task_id: str, job_id: str | None, as_json: bool) -> None:
    if as_json:
        print_json({"task": task_id, "job": job_id})
    else:
        say(task_id)
