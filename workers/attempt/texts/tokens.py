"""Examples -> token ids, with a mark on the tokens that are scored (measured, or trained on).

    example                          scored when `scored` is "response"   when it is "all"
    {"text"}                         every token                          every token
    {"prompt", "completion"}         the completion                       every token
    {"messages"}                     the assistant's turns                every token

A token is predicted from the tokens before it, so the first token of a sequence is never scored. A turn of weight 0 is
read and not scored. Tools, tool calls and thoughts go to the chat template; calls that it does not know are
written as text.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from workers.attempt.texts.conversations import ChatTokenizer, render_conversation

READ_OF_A_TURN = ("role", "content", "reasoning_content", "tool_calls", "tool_call_id", "name", "weight")


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


class Tokenizer(ChatTokenizer, Protocol):
    """The part of a transformers tokenizer that is used here."""

    @property
    def bos_token(self) -> Any: ...

    @property
    def eos_token(self) -> Any: ...

    def __call__(self, text: str, **kwargs: Any) -> Any: ...


def encode(
    tokenizer: Tokenizer, example: Mapping[str, Any], *, scored: str, max_tokens: int, append_eos: bool = False
) -> Tokens:
    """Token ids of one example, cut at `max_tokens`; no token is scored when the prompt alone fills it.

    `append_eos`: the tokenizer's mark of the end behind a text or completion without one; chat templates write theirs.

    Raises
    ------
    Unusable : the model's chat template does not take this conversation
    UnsupportedModel : messages for a model without a chat template
    """
    text, spans = _render(tokenizer, example)
    if append_eos and "messages" not in example and tokenizer.eos_token and not text.endswith(tokenizer.eos_token):
        text += tokenizer.eos_token
        spans = [(spans[0][0], len(text))]
    # A text may bring its own mark of the beginning; a second one would be read as something that was said.
    begun = bool(tokenizer.bos_token) and text.startswith(str(tokenizer.bos_token))
    encoded = tokenizer(text, add_special_tokens="messages" not in example and not begun, return_offsets_mapping=True)
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
        messages = _for_template(tokenizer, example["messages"])
        return render_conversation(tokenizer, messages, example.get("tools"))
    if "prompt" in example:
        text = example["prompt"] + example["completion"]
        return text, [(len(example["prompt"]), len(text))]
    return example["text"], [(0, len(example["text"]))]


def _for_template(tokenizer: Tokenizer, messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Turns as templates read them; tool calls as text in Hermes' form for a template that would drop them."""
    knows_calls = "tool_calls" in str(tokenizer.chat_template)
    return [_turn(message, knows_calls) for message in messages]


def _turn(message: Mapping[str, Any], knows_calls: bool) -> dict[str, Any]:
    said = {name: message[name] for name in READ_OF_A_TURN if name in message}
    if "tool_calls" in said and not knows_calls:
        calls = [json.dumps(call["function"], ensure_ascii=False) for call in said.pop("tool_calls")]
        written = [f"<tool_call>\n{call}\n</tool_call>" for call in calls]
        said["content"] = "\n".join([said["content"], *written] if said["content"] else written)
    return said
