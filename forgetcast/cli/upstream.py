"""`forgetcast upstream`: examples whose forgetting is forecast, imported, sampled from one's data, or generated."""

from __future__ import annotations

from pathlib import Path

import click

from forgetcast.cli.failures import blaming_the_file
from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import print_json, say
from forgetcast.cli.upstream_files import described
from forgetcast.cli.upstream_generate import generate
from forgetcast.cli.upstream_sample import sample


@click.group()
def upstream() -> None:
    """Import, sample and generate upstream examples."""


upstream.add_command(sample)
upstream.add_command(generate)


@upstream.command("import", epilog="Example: forgetcast upstream import upstream.jsonl --id instruct-mix")
@click.argument("file", type=INPUT_FILE)
@click.option("--id", "set_id", metavar="ID", help="Your own id for the set.")
@service_options
def import_set(file: Path, set_id: str | None, url: str | None, as_json: bool, quiet: bool) -> None:
    """Send all examples of FILE, JSON Lines or Parquet, and seal the set; - is stdin.

    A line is {"id", "text" or "messages", "domain", "tags", "held_out"}; only the id is needed.
    """
    if file.stat().st_size == 0:
        raise click.ClickException(f"{shown_name(file)} is empty; write one JSON object a line, with an id")
    from forgetcast.client.connection import made
    from forgetcast.schemas import UpstreamSetCreate

    made(UpstreamSetCreate, id=set_id)
    with open_client(url) as client, blaming_the_file():
        found = client.upstream_sets.register(file, id=set_id)
    if as_json:
        print_json(found)
    else:
        say(found.id if quiet else described(found))
