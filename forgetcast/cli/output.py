"""What commands print: tables and JSON on stdout, notes on stderr. No ANSI and no cut lines into a pipe."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import is_dataclass
from typing import TYPE_CHECKING, Any, TextIO

import click

if TYPE_CHECKING:
    from pydantic import BaseModel
    from rich.console import Console

    from forgetcast.completion import AnalysisReport, BacktestReport

# Controls that JSON leaves as they are, half surrogates, and what turns the direction of a line or ends it.
RAW = re.compile("[\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PIPE_WIDTH = 10_000  # columns: nothing is wrapped or cut


def console(stream: TextIO | None = None) -> Console:
    """A console for stdout, or for this stream; what is printed through it is text, never markup."""
    from rich.console import Console

    stream = stream or sys.stdout
    width = None if stream.isatty() else PIPE_WIDTH
    return Console(file=stream, width=width, markup=False, emoji=False, highlight=False)


def say(text: str, *, nl: bool = True, err: bool = False) -> None:
    """Print lines of text, whoever wrote what is in them: the one way in which commands print anything."""
    click.echo("\n".join(map(printable, text.split("\n"))), nl=nl, err=err)


def note(message: str) -> None:
    """Something for the person who waits, on stderr."""
    say(message, err=True)


def print_json(content: BaseModel | AnalysisReport | BacktestReport | dict[str, Any] | list[Any]) -> None:
    """One JSON document, as the service sends it."""
    say_json(json.dumps(_plain(content), ensure_ascii=False, indent=2))


def say_json(text: str, *, nl: bool = True) -> None:
    """Print JSON, in which what a terminal obeys stands escaped: the same values, in other bytes."""
    click.echo(RAW.sub(lambda found: f"\\u{ord(found[0]):04x}", text), nl=nl)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, to_the_right: Sequence[str] = ()) -> None:
    """Aligned columns under headings; `to_the_right` names those that hold numbers."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in headings:
        table.add_column(heading, justify="right" if heading in to_the_right else "left", no_wrap=True)
    for row in rows:
        table.add_row(*(printable(cell) for cell in row))
    out = console()
    with out.capture() as printed:
        out.print(table)
    click.echo(  # colours of our own, in a terminal
        "\n".join(line.rstrip() for line in printed.get().splitlines())
    )


def printable(text: str) -> str:
    """Text of others on one line, without characters that a terminal obeys or that turn its direction."""
    if text.isprintable():
        return text
    return "".join("\N{REPLACEMENT CHARACTER}" if _steers(char) else char for char in text)


def _steers(char: str) -> bool:
    kind = unicodedata.category(char)
    return kind[0] == "C" or kind in ("Zl", "Zp")


def first_words(text: str, n_characters: int = 48) -> str:
    """The beginning of a text on one line, cut between words."""
    line = " ".join(text.split())
    if len(line) <= n_characters:
        return line
    head, space, _ = line[:n_characters].rpartition(" ")
    return (head if space else line[: n_characters - 1]) + "\N{HORIZONTAL ELLIPSIS}"


def _plain(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _plain(value) for name, value in content.items()}
    if isinstance(content, list):
        return [_plain(value) for value in content]
    if is_dataclass(content):
        from forgetcast.completion.reports.json_ready import json_ready

        return json_ready(content)
    return content.model_dump(mode="json") if hasattr(content, "model_dump") else content
