"""`forgetcast dataset check FILE`: what a service would say of a fine-tuning file, from the same code, without one."""

from __future__ import annotations

from pathlib import Path

import click

from forgetcast.cli.input_files import INPUT_FILE, shown_name
from forgetcast.cli.output import print_json, say
from forgetcast.errors import BadDataset, FieldError, ForgetcastError
from forgetcast.layouts import VERSION, Survey, survey


@click.group()
def dataset() -> None:
    """Look at fine-tuning data."""


@dataset.command(epilog="Example: forgetcast dataset check my-task.jsonl")
@click.argument("file", type=INPUT_FILE)
@click.option("--json", "as_json", is_flag=True, help="What was found as JSON.")
@click.option("-q", "--quiet", is_flag=True, help="Only the name of the layout.")
def check(file: Path, as_json: bool, quiet: bool) -> None:
    """Say what FILE is read as, or what is wrong with it and where; nothing is sent.

    FILE is JSON Lines, a JSON array or Parquet, plain or compressed by gzip or zstd; - is stdin. Examples are texts,
    pairs, conversations or instructions: text, prompt and completion, OpenAI chat, ShareGPT, Alpaca and others.
    """
    found = check_dataset(file)
    if as_json:
        print_json({"layout": found.layout, "version": VERSION, "counts": found.counts, "sentence": found.sentence})
    else:
        say(found.layout if quiet else f"{shown_name(file)}: {found.sentence}")


def check_dataset(path: Path) -> Survey:
    """What the file is read as.

    Raises
    ------
    BadDataset : an example that cannot be used, with its line and field, or nothing to learn from
    LimitExceeded
    """
    try:
        with path.open("rb") as source:
            return survey(source)
    except OSError as error:
        raise BadDataset(f"{shown_name(path)} cannot be read: {error.strerror}") from error
    except ForgetcastError as error:
        raise _within(path, error) from error


def _within(path: Path, error: ForgetcastError) -> ForgetcastError:
    """The same error, with the name of the file before it."""
    fields = tuple(FieldError(field.pointer, field.detail) for field in error.errors)
    return type(error)(f"{shown_name(path)}: {error}", errors=fields)
