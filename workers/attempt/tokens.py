"""Examples -> token ids, with a mark on the tokens that are scored (measured, or trained on).

    example                          scored when `scored` is "response"   when it is "all"
    {"text"}                         every token                          every token
    {"prompt", "completion"}         the completion                       every token
    {"messages"}                     the assistant's turns                every token

A token is predicted from the tokens before it, so the first token of a sequence is never scored. A turn of weight 0 is
read and not scored. Tools and tool calls go to the chat template; where it knows no calls, they are written as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from forgetcast.errors import UnsupportedModel
from forgetcast.layouts.places import Unusable

SAID_TO_TEMPLATES = ("role", "content", "tool_calls", "tool_call_id", "name")
A_REPLY = "some-reply"  # holds the place of one, to see what a template writes before it


@dataclass(frozen=True)
class Tokens:
    """One example as the model sees it: `ids` and `scored`, both (L,); `is_cut`: more scored ones lie beyond."""

    ids: tuple[int, ...]
    scored: tuple[bool, ...]
    is_cut: bool = False

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


def encode(tokenizer: Tokenizer, example: Mapping[str, Any], *, scored: str, max_tokens: int) -> Tokens:
    """Token ids of one example, cut at `max_tokens`; no token is scored when the prompt alone fills it.

    Raises
    ------
    Unusable : the model's chat template does not take this conversation
    UnsupportedModel : messages for a model without a chat template, or with one that rewrites earlier turns
    """
    text, spans = _render(tokenizer, example)
    encoded = tokenizer(text, add_special_tokens="messages" not in example, return_offsets_mapping=True)
    ids, offsets = tuple(encoded["input_ids"][:max_tokens]), encoded["offset_mapping"]
    if scored == "all":
        spans = [(0, len(text))]
        marks = [True] * len(ids)
    else:
        marks = [any(begin < last and first < end for first, last in spans) for begin, end in offsets[:max_tokens]]
    marks[:1] = [False] * len(marks[:1])
    is_cut = len(offsets) > max_tokens and any(last > offsets[max_tokens][0] for _first, last in spans)
    return Tokens(ids, tuple(marks), is_cut)


def why_unscored(tokens: Tokens, max_tokens: int) -> str:
    """Why an example without a scored token has none."""
    if tokens.is_cut:
        return f"what comes before the response fills max_tokens, {max_tokens}"
    if not tokens.ids:
        return "it is empty"
    return "it has no response" if len(tokens) > 1 else "it is a single token, and the first one is never predicted"


def _render(tokenizer: Tokenizer, example: Mapping[str, Any]) -> tuple[str, list[tuple[int, int]]]:
    """The text of an example and the character spans that belong to the response."""
    if "messages" in example:
        return _render_messages(tokenizer, example["messages"], example.get("tools"))
    if "prompt" in example:
        text = example["prompt"] + example["completion"]
        return text, [(len(example["prompt"]), len(text))]
    return example["text"], [(0, len(example["text"]))]


def _render_messages(
    tokenizer: Tokenizer, messages: Sequence[dict[str, Any]], tools: Sequence[Any] | None
) -> tuple[str, list[tuple[int, int]]]:
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            "the model's tokenizer has no chat template; give the examples as text or prompt and completion"
        )
    knows_calls = "tool_calls" in str(tokenizer.chat_template)
    turns = [_turn(message, knows_calls) for message in messages]

    def render(some: Sequence[dict[str, Any]], *, open_reply: bool = False) -> str:
        try:
            rendered = tokenizer.apply_chat_template(
                some, tools=tools, tokenize=False, add_generation_prompt=open_reply
            )
        except Exception as error:  # a template is a program: whatever it raises, it does not take these turns
            raise Unusable("messages", f"the model's chat template does not take this conversation: {error}") from error
        return str(rendered)

    whole, spans = render(turns), []
    for place, message in enumerate(messages):
        if message["role"] != "assistant" or message.get("weight") == 0:
            continue
        closing = render(turns[: place + 1])
        # Templates do not render an empty conversation, so what comes before a first reply is found by another one.
        first = [turns[0] | {"content": A_REPLY}]
        opening = render(turns[:place], open_reply=True) if place else render(first).partition(A_REPLY)[0]
        if not (whole.startswith(opening) and whole.startswith(closing)):
            raise UnsupportedModel(
                "the chat template rewrites earlier turns, so the assistant's tokens cannot be told apart"
            )
        # The end-of-turn mark is part of the reply, the line break after it is not.
        spans.append((len(opening), len(closing.rstrip())))
    return whole, spans


def _turn(message: Mapping[str, Any], knows_calls: bool) -> dict[str, Any]:
    """A turn as templates read it; tool calls as text in Hermes' form for a template that would drop them."""
    said = {name: message[name] for name in SAID_TO_TEMPLATES if name in message}
    if "tool_calls" in said and not knows_calls:
        calls = [json.dumps(call["function"], ensure_ascii=False) for call in said.pop("tool_calls")]
        written = [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
        said["content"] = "\n".join([said["content"], *written] if said["content"] else written)
    return said
