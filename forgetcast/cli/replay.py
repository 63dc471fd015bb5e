"""`forgetcast replay TASK`: which upstream examples to mix into its training."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import note, print_json

if TYPE_CHECKING:
    from forgetcast.schemas import ReplaySet

STRATEGIES = ("sample", "top", "uniform")


@click.command(epilog="Example: forgetcast replay squad --ratio 0.03 -o replay-of-squad")
@click.argument("task")
@click.option("--size", type=click.IntRange(1), help="How many examples.")
@click.option("--ratio", type=click.FloatRange(0, min_open=True), help="Or as a share of the task.  [default: 1/32]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help="Folder for replay.jsonl and manifest.json.")
@click.option("--strategy", type=click.Choice(STRATEGIES), default="sample", show_default=True, help="How to draw.")
@click.option("--temperature", type=float, help="Of the softmax, nats per token.  [default: 0.1]")
@click.option("--seed", type=click.IntRange(0), help="Of the draw.  [default: 0]")
@click.option("--min-per-domain", type=click.IntRange(0), help="Every domain gets as many.  [default: 0]")
@click.option("--max-weight", type=float, help="Largest share of the softmax that one example may hold.")
@service_options
def replay(task: str, output: Path | None, url: str | None, as_json: bool, quiet: bool, **query: Any) -> None:
    """Write the replay set of TASK: upstream examples, drawn by how much they will be forgotten.

    Without -o its lines go to stdout. Held-out examples are never in it.
    """
    from forgetcast.cli.replay_files import replay_lines, write_replay_set

    if query["size"] is not None and query["ratio"] is not None:
        raise click.UsageError("give --size or --ratio, not both")
    with open_client(url) as client:
        drawn = client.tasks.replay_set(task, **query)
    if output is not None:
        write_replay_set(drawn, output)
    if not quiet:
        _say(drawn, output)
    if as_json:
        print_json(drawn)
    elif quiet:
        click.echo("".join(f"{example.id}\n" for example in drawn.data), nl=False)
    elif output is None:
        click.echo(replay_lines(drawn), nl=False)


def _say(drawn: ReplaySet, output: Path | None) -> None:
    manifest = drawn.manifest
    where = "" if output is None else f" in {output / 'replay.jsonl'}"
    note(
        f"{manifest.size} examples by {manifest.strategy}{where}; "
        f"about {manifest.effective_sample_size:.0f} examples share the weight in effect"
    )
    for warning in manifest.warnings:
        note(f"warning: {warning}")
    if any(example.text is None and example.messages is None for example in drawn.data):
        note("the service has no texts of these examples; join them by id")
