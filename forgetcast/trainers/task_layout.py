"""Replayed examples in the layout of the task they are mixed into.

    layout of the task                     a replayed example becomes
    text                                   text; only examples that are texts
    prompt and completion, pairs           the same two columns; only conversations with one answer
    conversational prompt and completion   prompt: the turns before the last; completion: the last
    OpenAI chat                            messages
    ShareGPT                               conversations of from and value
    Alpaca, Dolly                          instruction, empty input or context, output or response

A data set of another layout beside the task's gives rows of None in today's trainers, without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from forgetcast.errors import BadDataset, InvalidRequest
from forgetcast.layouts.places import Unusable
from forgetcast.layouts.table import PAIRS, layout_of
from forgetcast.replay_formats import Example, as_pair, turns_of

Record = dict[str, Any]

CHAT = "OpenAI chat"
TURN_PAIRS = "conversational prompt and completion"
SHAREGPT = "ShareGPT"
SPOKEN = {"user": "human", "assistant": "gpt", "system": "system", "tool": "observation"}
INSTRUCTIONS = {"Alpaca": ("instruction", "input", "output"), "Dolly": ("instruction", "context", "response")}


@dataclass(frozen=True)
class TaskLayout:
    """`name` as `forgetcast dataset check` says it; `columns` hold the content, and a replayed row must have them."""

    name: str
    columns: tuple[str, ...]
    make: Callable[[Example], Record]

    def record(self, example: Example) -> Record:
        """The example's content in this layout, without id and weight.

        Raises
        ------
        TextsMissing : the service has no text of it
        InvalidRequest : this layout cannot hold the example
        """
        return self.make(example)


def layout_named(name: str) -> TaskLayout:
    """By the name that a task's `read_as` has. Raises InvalidRequest for what replay cannot be written in."""
    if name == "text":
        return TaskLayout(name, ("text",), _text)
    if name == CHAT:
        return TaskLayout(name, ("messages",), lambda one: {"messages": _turns(one)})
    if name == TURN_PAIRS:
        return TaskLayout(name, ("prompt", "completion"), _turn_pair)
    if name == SHAREGPT:
        return _sharegpt("conversations")
    if name in INSTRUCTIONS:
        return _instructions(name, INSTRUCTIONS[name])
    asked, _, said = name.partition(" and ")
    if (asked, said) in (("prompt", "completion"), *PAIRS):
        return _pair(name, asked, said)
    raise InvalidRequest(
        f"the task's data are read as {name}, in which no replay set can be written; write the task as messages or as "
        f"prompt and completion, and take that format for the replay set too"
    )


def layout_like(row: Mapping[str, Any]) -> TaskLayout:
    """The layout of one example of the task.

    Raises
    ------
    BadDataset : no layout that is known
    InvalidRequest : one in which no replay set can be written
    """
    line = {name: value for name, value in row.items() if value is not None}
    try:
        name = layout_of(line).name
        layout_of(line).convert(line)
    except Unusable as error:
        raise BadDataset(f"the task's first example cannot be read: {error}") from error
    if name == SHAREGPT:
        return _sharegpt(next(column for column in ("conversations", "conversation", "messages") if column in line))
    return layout_named(name)


def _text(example: Example) -> Record:
    if example.text is None and example.messages:
        raise InvalidRequest(
            f"the task is plain texts and the example {example.id!r} is a conversation, which only the model's chat "
            f"template can write as a text; write the task as messages or as prompt and completion"
        )
    return {"text": turns_of(example)[0].content}


def _turns(example: Example) -> list[Record]:
    return [turn.model_dump(mode="json") for turn in turns_of(example)]


def _turn_pair(example: Example) -> Record:
    turns = _turns(example)
    if turns[-1]["role"] != "assistant":
        raise InvalidRequest(f"the example {example.id!r} does not end with an answer, so it has no completion")
    return {"prompt": turns[:-1], "completion": turns[-1:]}


def _sharegpt(column: str) -> TaskLayout:
    def make(example: Example) -> Record:
        return {column: [{"from": SPOKEN[turn.role], "value": turn.content} for turn in turns_of(example)]}

    return TaskLayout(SHAREGPT, (column,), make)


def _pair(name: str, asked: str, said: str) -> TaskLayout:
    def make(example: Example) -> Record:
        prompt, completion = as_pair(example)
        return {asked: prompt, said: completion}

    return TaskLayout(name, (asked, said), make)


def _instructions(name: str, columns: tuple[str, str, str]) -> TaskLayout:
    def make(example: Example) -> Record:
        prompt, completion = as_pair(example)
        return dict(zip(columns, (prompt, "", completion), strict=True))

    return TaskLayout(name, columns, make)
