"""`forgetcast replay TASK`: which upstream examples to mix into its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json, say, say_json

if TYPE_CHECKING:
    from forgetcast.client import ReplaySet
    from forgetcast.client.replay_sets import FileFormat

STRATEGIES = ("sample", "top", "uniform")
FORMATS = ("examples", "messages", "prompt_completion", "ids", "parquet")


@click.command(epilog="Example: forgetcast replay squad --ratio 0.03 -o replay-of-squad")
@click.argument("task")
@click.option("--size", type=click.IntRange(1), help="How many examples.")
@click.option("--ratio", type=click.FloatRange(0, min_open=True), help="Or as a share of the task.  [default: 1/32]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for replay.jsonl and manifest.json.")
@click.option("--format", "form", type=click.Choice(FORMATS), default="examples", show_default=True, help="Of a line.")
@click.option(
    "--texts",
    type=INPUT_FILE,
    help="JSON Lines or Parquet of {id, text or messages}, for a service that has no texts; it is not sent.",
)
@click.option("--strategy", type=click.Choice(STRATEGIES), default="sample", show_default=True, help="How to draw.")
@click.option("--temperature", type=float, help="Of the softmax, nats per token.  [default: 0.1]")
@click.option("--seed", type=click.IntRange(0), help="Of the draw.  [default: 0]")
@click.option("--min-per-domain", type=click.IntRange(0), help="Every domain gets as many.  [default: 0]")
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
    form: FileFormat,
    texts: Path | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
    **query: Any,
) -> None:
    """Write the replay set of TASK: upstream examples, drawn by how much they will be forgotten.

    Without -o its lines go to stdout. Held-out examples are never in it.
    """
    if query["size"] is not None and query["ratio"] is not None:
        raise click.UsageError("give --size or --ratio, not both")
    if form == "parquet" and output is None:
        raise click.UsageError("--format parquet needs a folder: -o DIR")
    with open_client(url) as client:
        drawn = client.tasks.replay_set(task, **query)
    if texts is not None:
        drawn = drawn.hydrate(texts)
    written = None if output is None else drawn.write(output, form)
    if not quiet:
        _say(drawn, written)
        if drawn.without_text and form == "examples":
            note("the service has no texts of these examples; name a file that has them by --texts")
    if as_json:
        print_json(drawn)
    elif quiet:
        say("".join(f"{name}\n" for name in drawn.ids), nl=False)
    elif written is None:
        _print_lines(drawn, form)


def _print_lines(drawn: ReplaySet, form: FileFormat) -> None:
    from forgetcast.replay_formats import replay_lines
    from forgetcast.schemas import ReplayFormat

    say_json("".join(replay_lines(drawn.data, ReplayFormat(form))), nl=False)


def _say(drawn: ReplaySet, written: Path | None) -> None:
    manifest = drawn.manifest
    where = "" if written is None else f" in {written}"
    note(
        f"{manifest.size} examples by {manifest.strategy}{where}; "
        f"about {manifest.effective_sample_size:.0f} examples share the weight in effect"
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
