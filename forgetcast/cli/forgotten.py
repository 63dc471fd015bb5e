"""`forgetcast forgotten TASK`: its most forgotten upstream examples."""

from __future__ import annotations

import click

from forgetcast.cli.options import open_client, service_options
from forgetcast.cli.output import print_json, say
from forgetcast.cli.report import print_forgotten, read_words
from forgetcast.cli.trust import limits, print_trust


@click.command(epilog="Example: forgetcast forgotten squad --k 20 --domain arithmetic")
@click.argument("task")
@click.option("--k", default=20, show_default=True, type=click.IntRange(1), help="How many.")
@click.option("--domain", help="Only examples of this domain.")
@click.option("--min", "at_least", type=float, help="Only with at least so much forgetting, nats per token.")
@click.option("--level", type=float, help="Share of cells the intervals are meant to cover.  [default: 0.9]")
@click.option("--as-of", type=click.IntRange(0), metavar="VERSION", help="An older version of the matrix.")
@service_options
def forgotten(
    task: str,
    k: int,
    domain: str | None,
    at_least: float | None,
    level: float | None,
    as_of: int | None,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Show the upstream examples that TASK makes the model forget most."""
    with open_client(url) as client:
        found = client.tasks.forgotten(task, k, domain=domain, min=at_least, level=level, as_of=as_of)
        if as_json:
            print_json(found)
        elif quiet:
            for example in found.data:
                say(example.example_id)
        else:
            print_trust(limits(client.tasks.forecast(task, level=level, as_of=as_of)))
            say("")
            print_forgotten(found.data, read_words(client, task, found))
