"""The files of a job directory -> examples as the model sees them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forgetcast.errors import BadDataset, UnsupportedModel
from forgetcast.layouts import Example, read_examples
from forgetcast.layouts.places import Unusable
from forgetcast.recipe_defaults import full_recipe
from workers.attempt.texts.tokens import Tokenizer, Tokens, encode, why_unscored


def read_dataset(path: Path, tokenizer: Tokenizer, recipe: dict[str, Any], warn: Callable[[str], None]) -> list[Tokens]:
    """The examples that have something to train on; of the others the first is named, with the reason.

    Of the recipe, see forgetcast.schemas, `max_tokens`, `completion_only_loss` and `append_eos` are used.

    Raises
    ------
    BadDataset : by line and field; also where nothing is left
    UnsupportedModel
    """
    usable: list[Tokens] = []
    n_examples, n_cut, first_unusable = 0, 0, ""
    recipe, max_tokens = full_recipe(recipe), recipe["max_tokens"]
    how = {
        "scored": "response" if recipe["completion_only_loss"] else "all",
        "max_tokens": max_tokens,
        "append_eos": recipe["append_eos"],
    }
    with path.open("rb") as source:
        for example in read_examples(source):
            tokens = _encoded(tokenizer, example, how)
            n_examples += 1
            n_cut += tokens.is_cut
            if tokens.n_scored:
                usable.append(tokens)
            elif not first_unusable:
                first_unusable = f"{example.place.words}: {why_unscored(tokens, max_tokens)}"
    if not usable:
        raise BadDataset(f"no example of the data set has anything to learn from; the first is {first_unusable}")
    if first_unusable:
        n_left_out = n_examples - len(usable)
        warn(f"{n_left_out} of {n_examples} examples are left out; the first is {first_unusable}")
    if n_cut:
        warn(f"{n_cut} of {n_examples} examples are longer than the recipe's max_tokens, {max_tokens}, and cut there")
    return usable


def _encoded(tokenizer: Tokenizer, example: Example, how: dict[str, Any]) -> Tokens:
    try:
        return encode(tokenizer, example.content, **how)
    except Unusable as error:
        raise error.at(example.place) from error
    except UnsupportedModel as error:
        raise UnsupportedModel(f"{example.place.words}: {error}") from error


@dataclass(frozen=True)
class Upstream:
    """Upstream examples in the order in which they were asked for; `why_not` of those with nothing to score, by id."""

    ids: tuple[str, ...]
    tokens: tuple[Tokens, ...]
    why_not: dict[str, str]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def named(self) -> Iterator[tuple[str, Tokens]]:
        return zip(self.ids, self.tokens, strict=True)

    def left_out(self) -> str:
        """How many cannot be measured, and the first of them; empty when all can."""
        if not self.why_not:
            return ""
        name, why = next(iter(self.why_not.items()))
        return f"{len(self.why_not)} of {len(self)} upstream examples cannot be measured; the first is {name!r}: {why}"

    def cut(self, max_tokens: int) -> str:
        """How many are longer than what is measured of them; empty when none is."""
        n_cut = sum(tokens.is_cut and tokens.n_scored > 0 for tokens in self.tokens)
        if not n_cut:
            return ""
        longer = f"{n_cut} of {len(self)} upstream examples are longer than the setting's max_tokens, {max_tokens}"
        return f"{longer}, and measured up to there"


def read_upstream(path: Path, tokenizer: Tokenizer, setting: dict[str, Any]) -> Upstream:
    """The examples to measure, one JSON object a line."""
    with path.open(encoding="utf-8") as lines:
        return encode_upstream(map(json.loads, lines), tokenizer, setting)


def encode_upstream(examples: Iterable[Mapping[str, Any]], tokenizer: Tokenizer, setting: dict[str, Any]) -> Upstream:
    """The examples to measure. One that the model cannot read, or that has nothing to score, stops no other."""
    ids, encoded, why_not = list[str](), list[Tokens](), dict[str, str]()
    for example in examples:
        tokens, why = _measurable(tokenizer, dict(example), setting)
        ids.append(example["id"])
        encoded.append(tokens)
        if why:
            why_not[example["id"]] = why
    return Upstream(tuple(ids), tuple(encoded), why_not)


def _measurable(tokenizer: Tokenizer, example: dict[str, Any], setting: dict[str, Any]) -> tuple[Tokens, str]:
    """Tokens, and why none of them is scored."""
    try:
        tokens = encode(tokenizer, example, scored=setting["scored"], max_tokens=setting["max_tokens"])
    except (Unusable, UnsupportedModel) as error:
        if not tokenizer.chat_template:  # the model's fault, for every conversation
            raise
        return Tokens((), ()), str(error)
    return tokens, "" if tokens.n_scored else why_unscored(tokens, setting["max_tokens"])
