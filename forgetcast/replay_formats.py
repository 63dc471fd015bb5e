"""A replay set as lines for a trainer, the same from the service, the client and the command line.

examples            {"id", "text" or "messages", "weight", "forgetting", "domain"}: as the upstream set has them
messages            {"id", "messages", "weight"}: a plain text becomes one turn of the assistant
prompt_completion   {"id", "prompt", "completion", "weight"}: a plain text has an empty prompt; turns of the system and
                    the user before the answer are joined by an empty line
ids                 {"id", "weight"}: for texts that stay where they are
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from forgetcast.errors import InvalidRequest, TextsMissing
from forgetcast.schemas import Message, ReplayExample, ReplayFormat

_COLUMNS = {
    ReplayFormat.EXAMPLES: ("id", "text", "messages", "weight", "forgetting", "domain"),
    ReplayFormat.MESSAGES: ("id", "messages", "weight"),
    ReplayFormat.PROMPT_COMPLETION: ("id", "prompt", "completion", "weight"),
    ReplayFormat.IDS: ("id", "weight"),
}


class Example(Protocol):
    """What a text is made of: a replayed example, or an upstream one."""

    @property
    def id(self) -> str: ...

    @property
    def text(self) -> str | None: ...

    @property
    def messages(self) -> list[Message] | None: ...


def replay_lines(examples: Iterable[ReplayExample], form: ReplayFormat) -> Iterator[str]:
    """One line of JSON an example, in the order given.

    Raises
    ------
    TextsMissing : the form needs a text, and an example has none
    InvalidRequest : an example has several answers, which prompt and completion cannot hold
    """
    for example in examples:
        yield json.dumps(replay_record(example, form), ensure_ascii=False, separators=(",", ":")) + "\n"


def replay_parquet(examples: Iterable[ReplayExample], form: ReplayFormat) -> bytes:
    """The same records as a Parquet file; needs pyarrow, and raises as `replay_lines` does."""
    import pyarrow
    import pyarrow.parquet

    text, turn = pyarrow.string(), pyarrow.struct([("role", pyarrow.string()), ("content", pyarrow.string())])
    kinds = {"messages": pyarrow.list_(turn), "weight": pyarrow.float64(), "forgetting": pyarrow.float64()}
    schema = pyarrow.schema([(name, kinds.get(name, text)) for name in _COLUMNS[form]])
    table = pyarrow.Table.from_pylist([replay_record(example, form) for example in examples], schema=schema)
    target = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(table, target, compression="zstd")
    content: bytes = target.getvalue().to_pybytes()
    return content


def replay_record(example: ReplayExample, form: ReplayFormat) -> dict[str, Any]:
    """What one line says; raises as `replay_lines` does."""
    if form is ReplayFormat.EXAMPLES:
        return example.model_dump(mode="json", exclude_none=True)
    content: dict[str, Any] = {}
    if form is ReplayFormat.MESSAGES:
        content = {"messages": [turn.model_dump(mode="json") for turn in turns_of(example)]}
    elif form is ReplayFormat.PROMPT_COMPLETION:
        prompt, completion = as_pair(example)
        content = {"prompt": prompt, "completion": completion}
    return {"id": example.id, **content, "weight": example.weight}


def as_pair(example: Example) -> tuple[str, str]:
    """Prompt and completion of an example with one answer. Raises TextsMissing, InvalidRequest."""
    *before, answer = turns_of(example)
    if answer.role != "assistant" or any(turn.role in ("assistant", "tool") for turn in before):
        raise InvalidRequest(
            f"the example {example.id!r} is a conversation that prompt and completion cannot hold; "
            f'choose the format "messages"'
        )
    return "\n\n".join(turn.content for turn in before), answer.content


def turns_of(example: Example) -> list[Message]:
    """Its conversation; a plain text is one turn of the assistant. Raises TextsMissing."""
    if example.messages:
        return example.messages
    if example.text is None:
        raise TextsMissing(
            f'the service has no text of the example {example.id!r}; take the format "ids" and join the texts by id'
        )
    return [Message(role="assistant", content=example.text)]
