"""`forgetcast upstream generate`: an upstream set for a model whose data nobody has, of its own answers."""

from __future__ import annotations

from pathlib import Path

import click

from forgetcast.cli.output import note, print_json
from forgetcast.cli.project import read_project
from forgetcast.cli.upstream_files import print_cover, send_set, set_options, write_lines


@click.command(epilog="Example: forgetcast upstream generate --model my-model --size 500")
@click.option("--model", metavar="NAME", help="In models.toml, or a folder.  [default: that of forgetcast.toml]")
@click.option("--size", default=500, show_default=True, type=click.IntRange(20, 500), help="Prompts to answer.")
@click.option("--tokens", default=48, show_default=True, type=click.IntRange(8, 1024), help="Of an answer at most.")
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the sampling.")
@set_options
@click.option("--json", "as_json", is_flag=True, help="What was made, in numbers.")
@click.option("-q", "--quiet", is_flag=True, help="Only the id.")
def generate(
    model: str | None,
    size: int,
    tokens: int,
    seed: int,
    output: Path,
    set_id: str | None,
    no_send: bool,
    url: str | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Let the model answer the project's 500 prompts of 20 domains, and make an upstream set of its answers.

    A model's own answers stand for the data it was trained on, where these are not at hand. Needs what a worker needs.
    """
    from forgetcast.cli.checks import folder_of
    from forgetcast.cli.lazy_group import imported

    named = model or read_project().model
    if named is None:
        raise click.UsageError("--model is missing, and no forgetcast.toml in this folder names one")
    answer = imported("upstream generate", "bundled.generate:answers")

    def tell(done: int, total: int) -> None:
        if not quiet:
            note(f"{done} of {total} prompts answered")

    lines = list(answer(folder_of(named), size=size, tokens=tokens, seed=seed, on_progress=tell))
    write_lines(lines, output)
    n_words: dict[str, int] = {}
    n_read: dict[str, int] = {}
    for line in lines:
        said = line["messages"][-1]["content"] if "messages" in line else line["text"]
        n_words[line["domain"]] = n_words.get(line["domain"], 0) + len(said.split())
        n_read[line["domain"]] = n_read.get(line["domain"], 0) + 1
    if as_json:
        print_json({"n_examples": len(lines), "n_read": n_read, "file": str(output)})
        return
    if not quiet:
        print_cover(lines, n_read, n_words)
        note(f"written to {output}")
    if not no_send:
        send_set(output, set_id, url, quiet=quiet)
