"""An upstream set that was made here: its file written, what it covers said, sent, and the next command named."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.failures import blaming_the_file
from forgetcast.cli.options import F, open_client, url_option
from forgetcast.cli.output import note, print_table, say
from forgetcast.cli.project import read_project
from forgetcast.errors import ForgetcastError, ServiceUnreachable

if TYPE_CHECKING:
    from forgetcast.schemas import UpstreamSet

WORDS_TO_TOKENS = 1.4  # of English prose; other languages and code take more


def set_options(command: F) -> F:
    """--output, --id, --no-send and --url: where the set goes."""
    output = click.option(
        "-o",
        "--output",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path("upstream.jsonl"),
        show_default=True,
        help="Where the set is written.",
    )
    named = click.option("--id", "set_id", metavar="ID", help="Of the set.  [default: that of forgetcast.toml]")
    kept = click.option("--no-send", is_flag=True, help="Only write the file.")
    return output(named(kept(url_option(command))))


def write_lines(lines: Sequence[Mapping[str, Any]], output: Path) -> None:
    """JSON Lines, the file as a whole or not at all."""
    scratch = output.with_name(f".{output.name}.part")
    with scratch.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
    scratch.replace(output)


def print_cover(lines: Sequence[Mapping[str, Any]], n_read: Mapping[str, int], n_words: Mapping[str, int]) -> None:
    """A row a domain: what there was, what was taken, what of it is held out, how long it is."""
    taken, held = Counter(str(line["domain"]) for line in lines), Counter[str]()
    for line in lines:
        held[str(line["domain"])] += bool(line["held_out"])
    rows = [
        (domain, str(n), str(taken[domain]), str(held[domain]), f"{n_words.get(domain, 0) / max(1, taken[domain]):.0f}")
        for domain, n in sorted(n_read.items(), key=lambda entry: -entry[1])
    ]
    headings = ["domain", "there", "taken", "held out", "words each"]
    print_table(headings, rows, to_the_right=headings[1:])
    n_tokens = WORDS_TO_TOKENS * sum(n_words.values())
    say(
        f"\n{len(lines)} examples, about {n_tokens:,.0f} tokens: measuring reads them once before and once after each "
        "fine-tuning; `forgetcast seed` times it, and says it in hours before anything runs"
    )


def send_set(file: Path, set_id: str | None, url: str | None, *, quiet: bool) -> None:
    """Send the file under this id, that of forgetcast.toml, or the file's name; without a service say how later."""
    set_id = set_id or read_project().upstream_set or file.stem
    later = f"`forgetcast upstream import {file} --id {set_id}` sends it"
    try:
        with open_client(url) as client, blaming_the_file():
            found = client.upstream_sets.register(file, id=set_id)
    except ServiceUnreachable as error:
        note(f"not sent: {error}; `forgetcast up` starts a service, then {later}")
        return
    except ForgetcastError as error:
        note(f"{file} is written, and was not sent; once that is mended, {later}")
        raise error
    say(found.id if quiet else described(found))
    if not quiet:
        note(f"next: {_next(found.id)}")


def _next(set_id: str) -> str:
    project = read_project()
    if project.file is not None and project.upstream_set == set_id and project.model is not None:
        return "`forgetcast seed --list` shows tasks to measure first, `forgetcast seed` says what that costs and asks"
    return f"`forgetcast init --upstream-set {set_id} --model MODEL` names what it belongs to"


def described(found: UpstreamSet) -> str:
    """A set on one line."""
    return (
        f"upstream set {found.id}: {found.n_examples} examples in {len(found.domains)} domains, "
        f"{found.n_held_out} held out, {'with' if found.has_texts else 'without'} texts"
    )
