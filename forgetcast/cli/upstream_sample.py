"""`forgetcast upstream sample`: an upstream set from the data that a model was trained on."""

from __future__ import annotations

from pathlib import Path

import click

from forgetcast.cli.output import note, print_json, printable
from forgetcast.cli.upstream_files import print_cover, send_set, set_options, write_lines

EXAMPLES = """\b
Examples:
  forgetcast upstream sample sft-mix.jsonl --size 1000 --by source
  forgetcast upstream sample my-docs/ --size 300 --id docs
  forgetcast upstream sample chats.parquet --messages-column dialogue --by topic.name
"""
SAID_OF_SPOILT = 3


@click.command(epilog=EXAMPLES)
@click.argument("source", nargs=-1, required=True)
@click.option("--size", default=1000, show_default=True, type=click.IntRange(1), help="Examples to draw.")
@click.option("--by", metavar="COLUMN", help="What divides them into domains; a.b is b within a.  [default: domain]")
@click.option("--held-out", default=0.1, show_default=True, type=click.FloatRange(0, 0.9), help="Never replayed.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the draw.")
@click.option("--words", default=200, show_default=True, type=click.IntRange(10), help="Of a passage of a text.")
@click.option("--id-column", metavar="COLUMN", help="Ids of your own.")
@click.option("--text-column", metavar="COLUMN", help="Texts, where the layout is none that is known.")
@click.option("--prompt-column", metavar="COLUMN", help="Prompts, with --completion-column.")
@click.option("--completion-column", metavar="COLUMN", help="What the model answers.")
@click.option("--messages-column", metavar="COLUMN", help="Conversations.")
@set_options
@click.option("--json", "as_json", is_flag=True, help="What was drawn, in numbers.")
@click.option("-q", "--quiet", is_flag=True, help="Only the id.")
def sample(
    source: tuple[str, ...],
    size: int,
    by: str | None,
    held_out: float,
    seed: int,
    words: int,
    id_column: str | None,
    text_column: str | None,
    prompt_column: str | None,
    completion_column: str | None,
    messages_column: str | None,
    output: Path,
    set_id: str | None,
    no_send: bool,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw an upstream set from SOURCE: files, folders, or the name of a data set on a hub.

    Files are JSON Lines or Parquet in the layouts that `dataset check` knows, folders that `save_to_disk` of datasets
    wrote, or texts, which are cut into passages. Every domain gives its share, and none less than a quarter of an even
    one; near-duplicates are left out, a tenth is held out. The set is written, and sent to the service.
    """
    from forgetcast.upstream import Columns, draw_sample, find_sources

    if (prompt_column is None) != (completion_column is None):
        raise click.UsageError("--prompt-column and --completion-column go together")
    if sum(one is not None for one in (text_column, prompt_column, messages_column)) > 1:
        raise click.UsageError("choose one of --text-column, --prompt-column and --messages-column")
    columns = Columns(by, id_column, text_column, prompt_column, completion_column, messages_column)
    sources = [found for name in source for found in find_sources(name)]
    drawn = draw_sample(sources, size, columns, held_out=held_out, seed=seed, n_words=words)
    write_lines(drawn.lines, output)
    if as_json:
        numbers = {"n_examples": len(drawn.lines), "n_read": drawn.n_read, "n_duplicates": drawn.n_duplicates}
        print_json({**numbers, "near_duplicates": drawn.near, "n_left_out": len(drawn.spoilt), "file": str(output)})
    elif not quiet:
        print_cover(drawn.lines, drawn.n_read, drawn.n_words)
        note(f"{drawn.n_duplicates} duplicates among what was drawn are left out")
        if not drawn.near:
            note("only equal texts were looked for: `pip install 'forgetcast[sample]'` finds near-duplicates too")
        for said in drawn.spoilt[:SAID_OF_SPOILT]:
            note(f"left out: {printable(said)}")
        if len(drawn.spoilt) > SAID_OF_SPOILT:
            note(f"left out: {len(drawn.spoilt) - SAID_OF_SPOILT} more")
        note(f"written to {output}")
    if not no_send and not as_json:
        send_set(output, set_id, url, quiet=quiet)
