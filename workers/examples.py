"""The files of a job directory -> examples as the model sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from forgetcast.errors import BadDataset
from workers.tokens import Tokenizer, Tokens, encode


def read_dataset(path: Path, tokenizer: Tokenizer, max_tokens: int, warn: Callable[[str], None]) -> list[Tokens]:
    """The lines that have something to train on: a prompt that fills `max_tokens` leaves no response to learn."""
    lines = list(_read(path, tokenizer, {"scored": "response", "max_tokens": max_tokens}))
    usable = [tokens for _, tokens in lines if tokens.n_scored]
    if not usable:
        raise BadDataset(f"no line of the data set has a response within the recipe's max_tokens of {max_tokens}")
    if len(usable) < len(lines):
        first = next(number for number, tokens in lines if not tokens.n_scored)
        message = (
            f"{len(lines) - len(usable)} of {len(lines)} lines are left out (the first is line {first}): "
            f"no response within the recipe's max_tokens of {max_tokens}"
        )
        warn(message)
    return usable


def read_upstream(path: Path, tokenizer: Tokenizer, setting: dict[str, Any]) -> list[Tokens]:
    """The examples to measure, in order."""
    upstream = []
    for number, tokens in _read(path, tokenizer, setting):
        if not tokens.n_scored:
            raise BadDataset(
                f"upstream line {number} has no scored token within the setting's max_tokens of {setting['max_tokens']}"
            )
        upstream.append(tokens)
    return upstream


def _read(path: Path, tokenizer: Tokenizer, reading: dict[str, Any]) -> Iterator[tuple[int, Tokens]]:
    with path.open(encoding="utf-8-sig") as lines:  # as the service reads them: a byte order mark and empty lines pass
        for number, line in enumerate(lines, 1):
            if line.strip():
                tokens = encode(tokenizer, json.loads(line), scored=reading["scored"], max_tokens=reading["max_tokens"])
                yield number, tokens
