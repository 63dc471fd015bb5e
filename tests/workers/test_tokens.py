"""Which tokens are scored, counted by hand on a tokenizer of characters."""

from __future__ import annotations

from typing import Any

import pytest

from forgetcast.errors import UnsupportedModel
from tests.workers.language_models import CHARACTERS, character_tokenizer
from workers.tokens import Tokens, encode


def scored_text(tokens: Tokens) -> str:
    return "".join(CHARACTERS[token] for token, scored in zip(tokens.ids, tokens.scored, strict=True) if scored)


def encoded(example: dict[str, Any], scored: str = "response", max_tokens: int = 200) -> Tokens:
    return encode(character_tokenizer(), example, scored=scored, max_tokens=max_tokens)


def test_the_first_token_of_a_text_is_never_scored() -> None:
    assert scored_text(encoded({"text": "abcd"})) == "bcd"


def test_only_the_completion_of_a_pair_is_scored() -> None:
    assert scored_text(encoded({"prompt": "two and two: ", "completion": "four"})) == "four"


def test_a_completion_without_prompt_loses_its_first_token() -> None:
    assert scored_text(encoded({"prompt": "", "completion": "four"})) == "our"


def test_every_assistant_turn_is_scored_with_its_end_and_nothing_else() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "hello"},
        {"role": "user", "content": "bye"},
        {"role": "assistant", "content": "so long"},
    ]
    assert scored_text(encoded({"messages": messages})) == "hello<end>so long<end>"


def test_a_reply_that_comes_first_is_scored() -> None:
    assert scored_text(encoded({"messages": [{"role": "assistant", "content": "welcome"}]})) == "welcome<end>"


def test_all_tokens_are_scored_on_request() -> None:
    assert scored_text(encoded({"prompt": "ab", "completion": "cd"}, scored="all")) == "bcd"


def test_a_prompt_that_fills_the_length_leaves_nothing_to_score() -> None:
    assert encoded({"prompt": "x" * 50, "completion": "y"}, max_tokens=50).n_scored == 0


def test_messages_need_a_chat_template() -> None:
    with pytest.raises(UnsupportedModel, match="chat template"):
        encode(
            character_tokenizer(chat_template=None),
            {"messages": [{"role": "assistant", "content": "x"}]},
            scored="response",
            max_tokens=9,
        )


def test_a_template_that_rewrites_earlier_turns_is_refused() -> None:
    template = "{% for m in messages %}{% if loop.last %}>{% endif %}{{ m['content'] }}\n{% endfor %}"
    messages = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}] * 2
    with pytest.raises(UnsupportedModel, match="rewrites"):
        encode(character_tokenizer(template), {"messages": messages}, scored="response", max_tokens=99)
