"""`forgetcast replay TASK`: which upstream examples to mix into its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, print_table, say, say_json

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, ReplaySet
    from forgetcast.client.replay_sets import FileFormat
    from forgetcast.trainers.task_layout import TaskLayout

STRATEGIES = ("sample", "top", "uniform")
FORMATS = ("auto", "examples", "messages", "prompt_completion", "ids", "parquet")
FLAT = 0.1  # of what the first examples forget, below which more of them is said to pay little
TRAINERS = ("trl", "axolotl", "llamafactory")


@click.command(epilog="Example: forgetcast replay squad --ratio 0.03 -o replay-of-squad")
@click.argument("task")
@click.option("--size", type=click.IntRange(1), help="How many examples.")
@click.option("--ratio", type=click.FloatRange(0, min_open=True), help="Or as a share of the task.  [default: 1/32]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for replay.jsonl and manifest.json.")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    help="Of a line; auto is that of the task's own data.  [default: examples, with --for auto]",
)
@click.option("--for", "trainer", type=click.Choice(TRAINERS), help="Write the trainer's config beside; needs -o.")
@click.option(
    "--like",
    type=INPUT_FILE,
    help="The task's file, whose columns and their types the rows get, as Parquet; needs -o.",
)
@click.option(
    "--texts",
    type=INPUT_FILE,
    help="JSON Lines or Parquet of {id, text or messages}, for a service that has no texts; it is not sent.",
)
@click.option("--strategy", type=click.Choice(STRATEGIES), default="sample", show_default=True, help="How to draw.")
@click.option("--temperature", type=float, help="Of the softmax, nats per token.  [default: 0.1]")
@click.option("--seed", type=click.IntRange(0), help="Of the draw.  [default: 0]")
@click.option("--min-per-domain", type=click.IntRange(0), help="Every domain gets as many.  [default: 0]")
@click.option("--curve", is_flag=True, help="Show what more replay would cover, and write nothing.")
@click.option("--max-weight", type=float, help="Largest share of the softmax that one example may hold.")
@click.option(
    "--fence",
    metavar="TASK",
    help="Leave out what this task will be judged by: its random probes, and what its policies protect.",
)
@click.option("--as-of", type=click.IntRange(0), metavar="VERSION", help="An older version of the matrix.")
@service_options
def replay(
    task: str,
    output: Path | None,
    form: FileFormat | Literal["auto"] | None,
    trainer: str | None,
    like: Path | None,
    curve: bool,
    texts: Path | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
    **query: Any,
) -> None:
    """Write the replay set of TASK: upstream examples, drawn by how much they will be forgotten.

    Without -o its lines go to stdout. Held-out examples are never in it.
    """
    _check_options(output, form, trainer, like, query)
    if curve and (output is not None or form or trainer):
        raise click.UsageError("--curve shows a table and writes no set: leave -o, --format and --for out")
    layout = None
    with open_client(url) as client:
        drawn = client.tasks.replay_set(task, **query)
        if form == "auto" or (form is None and (trainer == "trl" or like is not None)):
            layout = _layout(client, task, like)
    if curve:
        if as_json:
            print_json([dose.model_dump(mode="json") for dose in drawn.curve])
        else:
            _print_curve(drawn)
        return
    if texts is not None:
        drawn = drawn.hydrate(texts)
    written = None if output is None else _write(drawn, output, form, trainer, layout, like)
    if not quiet:
        _say(drawn, written)
        if drawn.without_text and layout is None and form in (None, "examples"):
            note("the service has no texts of these examples; name a file that has them by --texts")
    if as_json:
        print_json(drawn)
    elif quiet:
        say("".join(f"{name}\n" for name in drawn.ids), nl=False)
    elif written is None:
        _print_lines(drawn, form, layout)


def _check_options(
    output: Path | None, form: str | None, trainer: str | None, like: Path | None, query: dict[str, Any]
) -> None:
    if query["size"] is not None and query["ratio"] is not None:
        raise click.UsageError("give --size or --ratio, not both")
    for option, given in (("--format parquet", form == "parquet"), ("--for", trainer), ("--like", like)):
        if given and output is None:
            raise click.UsageError(f"{option} needs a folder: -o DIR")
    if form not in (None, "auto") and (trainer or like):
        raise click.UsageError("--for and --like decide the format: leave --format out")


def _layout(client: ForgetcastClient, task: str, like: Path | None) -> TaskLayout:
    """Of the task's data: of its file, else as the service has read them."""
    from forgetcast.trainers.offline import own_layout
    from forgetcast.trainers.rows import task_layout, task_rows

    return own_layout(client, task) if like is None else task_layout(task_rows(like))


def _write(
    drawn: ReplaySet, folder: Path, form: Any, trainer: str | None, layout: TaskLayout | None, like: Path | None
) -> Path:
    if trainer is None and layout is None:
        return drawn.write(folder, form or "examples")
    from forgetcast.trainers.configs import Trainer, write_for, write_rows

    if trainer is not None:
        return write_for(Trainer(trainer), drawn, folder, layout=layout, like=like)[-1]
    assert layout is not None
    return write_rows(drawn, folder, layout, like)


def _print_lines(drawn: ReplaySet, form: Any, layout: TaskLayout | None) -> None:
    from forgetcast.replay_formats import replay_lines
    from forgetcast.schemas import ReplayFormat

    if layout is not None:
        from forgetcast.trainers.configs import lines

        say_json("".join(lines(drawn, layout)), nl=False)
        return
    say_json("".join(replay_lines(drawn.data, ReplayFormat(form or "examples"))), nl=False)


def _print_curve(drawn: ReplaySet) -> None:
    """Doses by both meanings of a ratio, and where more of it stops paying."""
    headings = ["examples", "of the task", "of the mix", "covers", "added ones forget"]
    table = [
        (
            str(dose.size),
            "-" if dose.ratio is None else f"{dose.ratio:.3f}",
            "-" if dose.ratio_of_mix is None else f"{dose.ratio_of_mix:.3f}",
            "-" if dose.covered is None else f"{dose.covered:.0%}",
            f"{dose.marginal:+.3f}",
        )
        for dose in drawn.curve
    ]
    print_table(headings, table, to_the_right=headings)
    say(
        "\nCovers: forecast forgetting of the replayed examples over that of all that are forgotten, the highest first."
        "\nAdded ones: mean forecast of what the dose above does not have, nats per token. What replay prevents beyond"
        "\nthe replayed examples only training shows."
    )
    flat = next((dose for dose in drawn.curve[1:] if dose.marginal < FLAT * drawn.curve[0].marginal), None)
    if flat is not None and drawn.curve[0].marginal > 0:
        say(f"From {flat.size} examples on, those that are added forget less than a tenth of the first ones.")


def _say(drawn: ReplaySet, written: Path | None) -> None:
    manifest = drawn.manifest
    where = "" if written is None else f" in {written}"
    note(
        f"{manifest.size} examples by {manifest.strategy}{where}; "
        f"about {manifest.effective_sample_size:.0f} examples share the weight in effect"
        + (
            ""
            if manifest.kept_gain is None
            else f"; it keeps {max(0.0, manifest.kept_gain):.0%} of the forecast's gain"
        )
    )
    if manifest.fence is not None:
        fence = manifest.fence
        note(
            f"{fence.n_fenced} examples that judge {fence.task} are left out: {fence.n_replaced} of the set are others "
            f"for it, whose mean forecast is {fence.mean_forgetting:+.3f} instead of "
            f"{fence.mean_forgetting_without:+.3f} nats per token"
        )
    for warning in manifest.warnings:
        note(f"warning: {warning}")
