"""`forgetcast measure TASK`: order a further measuring of a task, or post cells that a training run measured itself."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.options import duration, open_client, service_options
from forgetcast.cli.output import note, print_json, say
from forgetcast.cli.progress import follow_progress
from forgetcast.cli.submission import leave_running
from forgetcast.errors import BadDataset

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle
    from forgetcast.schemas import Forecast, Job, JobCreate, Task

EXAMPLES = """\b
Examples:
  forgetcast measure my-task --size 60
  forgetcast probe-set smollm2-135m --size 10 -q | forgetcast measure my-task --examples -
  forgetcast measure my-task --from cells.jsonl --source "own run 7"
  forgetcast measure my-task --until-conclusive --policy forgetting.yml
"""


@click.command(epilog=EXAMPLES)
@click.argument("task_id", metavar="TASK")
@click.option("--size", type=click.IntRange(1), help="A worker measures so many probes.")
@click.option("--design", type=click.Choice(["mixed", "optimal", "random"]), help="Of the probes.  [default: mixed]")
@click.option("--probe-seed", type=click.IntRange(0), help="Of the probes drawn at random.  [default: 0]")
@click.option("--full", is_flag=True, help="A worker measures every upstream example.")
@click.option(
    "--examples",
    type=INPUT_FILE,
    metavar="FILE",
    help="A worker measures these ids, one a line; - is stdin.",
)
@click.option(
    "--from",
    "cells",
    type=INPUT_FILE,
    metavar="FILE",
    help='Post these cells instead: {"example_id", "before", "after"} or {"example_id", "forgetting"}, one a line; '
    'with "at_random" as `forgetcast probe-set` says it, where they differ; - is stdin.',
)
@click.option(
    "--spec",
    type=INPUT_FILE,
    help='With --from: JSON {"recipe", "setting"} of the own run, or what `matrix export --spec` wrote.  '
    "[default: those of the matrix]",
)
@click.option("--source", help="With --from: where the cells come from.")
@click.option("--seed", type=click.IntRange(0), help="With --from: of the own run's fine-tuning.  [default: 0]")
@click.option("--weights-sha256", help="With --from: of the weights that were measured, for `forgetcast gate`.")
@click.option("--chosen", is_flag=True, help="With --from: the examples were not drawn at random.")
@click.option(
    "--until-conclusive",
    is_flag=True,
    help="Judge by --policy, and let a worker measure more until it is decided, within the policy's looks.",
)
@click.option("--policy", type=click.Path(path_type=Path), metavar="FILE", help="With --until-conclusive.")
@click.option("--no-wait", is_flag=True, help="Order only; print the job's id.")
@click.option("--timeout", type=duration, help="Give up waiting after 90s, 10m or 2h (exit 5); the job goes on.")
@service_options
def measure(
    task_id: str,
    size: int | None,
    design: str | None,
    probe_seed: int | None,
    full: bool,
    examples: Path | None,
    cells: Path | None,
    spec: Path | None,
    source: str | None,
    seed: int | None,
    weights_sha256: str | None,
    chosen: bool,
    until_conclusive: bool,
    policy: Path | None,
    no_wait: bool,
    timeout: timedelta | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Measure more upstream examples of TASK: by a worker, or from a file of your own training run.

    Choose one of --size, --full, --examples, --until-conclusive and --from. A worker fine-tunes on the task's data and
    adds what it measures to the task's row. --until-conclusive exits as `forgetcast gate` does.
    """
    ways = {
        "--size": size,
        "--full": full or None,
        "--examples": examples,
        "--until-conclusive": until_conclusive or None,
        "--from": cells,
    }
    if sum(way is not None for way in ways.values()) != 1:
        raise click.UsageError(f"choose one of {', '.join(ways)}")
    _only_with("--size", size, {"--design": design, "--probe-seed": probe_seed})
    own_run: dict[str, object] = {
        "--spec": spec,
        "--source": source,
        "--seed": seed,
        "--weights-sha256": weights_sha256,
    }
    _only_with("--from", cells, own_run | {"--chosen": chosen or None})
    _only_with("--until-conclusive", until_conclusive or None, {"--policy": policy})
    if until_conclusive:
        if policy is None or no_wait:
            raise click.UsageError("--until-conclusive needs --policy, and waits")
        from forgetcast.cli.until_conclusive import measure_until_conclusive

        with open_client(url) as client:
            code = measure_until_conclusive(client, task_id, policy, timeout=timeout, as_json=as_json, quiet=quiet)
        click.get_current_context().exit(code)
    with open_client(url) as client:
        if cells is not None:
            about = {"source": source or "", "seed": seed or 0, "weights_sha256": weights_sha256}
            posted = _post(client, task_id, cells, spec, probes_at_random=not chosen, **about)
            _print_posted(task_id, posted, as_json, quiet)
            return
        wanted = _order(size=size, design=design, probe_seed=probe_seed, full=full, examples=examples)
        job = client.tasks.create_job(task_id, wanted)
        if not quiet:
            for warning in job.warnings:
                note(f"warning: {warning}")
        if no_wait:
            _print_job(job, as_json, quiet or not as_json)
            return
        task = client.tasks.get(task_id)
        with leave_running(task_id):
            _print_job(_wait(task, timeout, quiet), as_json, quiet)


def _only_with(way: str, chosen: object, options: dict[str, object]) -> None:
    """Refuse options that the chosen way would leave aside in silence."""
    given = [name for name, value in options.items() if value is not None]
    if chosen is None and given:
        raise click.UsageError(f"{given[0]} goes with {way}")


def _order(
    *, size: int | None, design: str | None, probe_seed: int | None, full: bool, examples: Path | None
) -> JobCreate:
    from forgetcast.client.connection import made
    from forgetcast.schemas import JobCreate

    if full:
        return made(JobCreate, measure="full")
    if examples is not None:
        ids = [line for line in examples.read_text("utf-8-sig").split("\n") if line.strip()]
        if not ids:
            raise BadDataset(f"{shown_name(examples)} is empty; write one id of an upstream example a line")
        return made(JobCreate, measure="examples", examples=ids)
    chosen = {"size": size, "design": design, "probe_seed": probe_seed}
    return made(JobCreate, measure="probe", **{name: value for name, value in chosen.items() if value is not None})


def _wait(task: TaskHandle, timeout: timedelta | None, quiet: bool) -> Job:
    with follow_progress(quiet=quiet) as show:
        return task.wait(timeout=timeout, on_event=show)


def _post(client: ForgetcastClient, task_id: str, path: Path, spec: Path | None, **about: Any) -> Forecast | Task:
    from forgetcast.cli.shapes import OwnRun, read_cells, read_shape
    from forgetcast.client.connection import made
    from forgetcast.schemas import MeasurementsCreate

    cells = read_cells(path)
    own = OwnRun() if spec is None else read_shape(spec, OwnRun)
    matrix = client.matrices.get(client.tasks.get(task_id).task.matrix)
    recipe, setting = own.recipe or matrix.recipe, own.setting or matrix.setting
    measured = made(MeasurementsCreate, recipe=recipe, setting=setting, cells=cells, **about)
    return client.tasks.post_measurements(task_id, measured)


def _print_posted(task_id: str, posted: Forecast | Task, as_json: bool, quiet: bool) -> None:
    if as_json:
        print_json(posted)
        return
    say(task_id if quiet else f"{task_id}: {posted.n_measured} examples measured")
    if not quiet:
        for warning in posted.warnings:
            note(f"warning: {warning}")
        note(f"see `forgetcast forgotten {task_id}`")


def _print_job(job: Job, as_json: bool, id_only: bool) -> None:
    if as_json:
        print_json(job)
    else:
        say(job.id if id_only else f"{job.task}: {job.state.value}, {job.n_examples} examples measured")
