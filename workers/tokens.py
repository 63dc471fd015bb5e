"""Examples -> token ids, with a mark on the tokens that are scored (measured, or trained on).

    example                          scored when `scored` is "response"   when it is "all"
    {"text"}                         every token                          every token
    {"prompt", "completion"}         the completion                       every token
    {"messages"}                     the assistant's turns                every token

A token is predicted from the tokens before it, so the first token of a sequence is never scored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from forgetcast.errors import UnsupportedModel


@dataclass(frozen=True)
class Tokens:
    """One example as the model sees it: `ids` and `scored`, both (L,)."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def n_scored(self) -> int:
        return sum(self.scored)


class Tokenizer(Protocol):
    """The part of a transformers tokenizer that is used here."""

    chat_template: Any

    def __call__(self, text: str, **kwargs: Any) -> Any: ...

    def apply_chat_template(self, conversation: Any, **kwargs: Any) -> Any: ...


def encode(tokenizer: Tokenizer, example: dict[str, Any], *, scored: str, max_tokens: int) -> Tokens:
    """Token ids of one example, cut at `max_tokens`; no token is scored when the prompt alone fills it.

    Raises
    ------
    UnsupportedModel : messages for a model without a chat template
    """
    text, spans = _render(tokenizer, example)
    encoded = tokenizer(text, add_special_tokens="messages" not in example, return_offsets_mapping=True)
    ids = tuple(encoded["input_ids"][:max_tokens])
    offsets = encoded["offset_mapping"][:max_tokens]
    if scored == "all":
        marks = [True] * len(ids)
    else:
        marks = [any(begin < last and first < end for first, last in spans) for begin, end in offsets]
    marks[:1] = [False] * len(marks[:1])
    return Tokens(ids, tuple(marks))


def _render(tokenizer: Tokenizer, example: dict[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """The text of an example and the character spans that belong to the response."""
    if "messages" in example:
        return _render_messages(tokenizer, example["messages"])
    if "prompt" in example:
        text = example["prompt"] + example["completion"]
        return text, [(len(example["prompt"]), len(text))]
    return example["text"], [(0, len(example["text"]))]


def _render_messages(tokenizer: Tokenizer, messages: Sequence[dict[str, str]]) -> tuple[str, list[tuple[int, int]]]:
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            "the model's tokenizer has no chat template; give the examples as text or prompt and completion"
        )

    def render(turns: Sequence[dict[str, str]], *, open_reply: bool = False) -> str:
        return str(tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=open_reply))

    whole, spans = render(messages), []
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        closing = render(messages[: place + 1])
        # Templates do not render an empty conversation, so a reply that comes first is found by its content.
        opening = render(messages[:place], open_reply=True) if place else closing.partition(message["content"])[0]
        if not (whole.startswith(opening) and whole.startswith(closing)):
            raise UnsupportedModel(
                "the chat template rewrites earlier turns, so the assistant's tokens cannot be told apart"
            )
        # The end-of-turn mark is part of the reply, the line break after it is not.
        spans.append((len(opening), len(closing.rstrip())))
    return whole, spans
