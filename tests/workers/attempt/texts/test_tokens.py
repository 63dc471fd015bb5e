"""Which tokens are scored, counted by hand on a tokenizer of characters."""

from __future__ import annotations

from typing import Any

import pytest
from tokenizers import processors

from forgetcast.errors import UnsupportedModel
from forgetcast.layouts.places import Unusable
from tests.workers.language_models import CHARACTERS, character_tokenizer
from workers.attempt.texts.tokens import Tokens, encode, why_unscored


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


def test_an_empty_reply_that_comes_first_is_scored_by_its_end() -> None:
    messages = [{"role": "assistant", "content": ""}, {"role": "user", "content": "hi"}]
    assert scored_text(encoded({"messages": messages})) == "<end>"


def test_a_turn_of_weight_0_is_read_and_not_scored() -> None:
    messages = [
        {"role": "assistant", "content": "no", "weight": 0},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "yes"},
    ]
    assert scored_text(encoded({"messages": messages})) == "yes<end>"


CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}


def test_tool_calls_are_written_as_text_for_a_template_that_knows_none() -> None:
    messages = [
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "well", "tool_calls": [CALL]},
    ]
    called = '<tool_call>\n{"name": "f", "arguments": {"a": 1}}\n</tool_call>'
    assert scored_text(encoded({"messages": messages})) == f"well\n{called}<end>"


def test_tools_and_calls_go_to_a_template_that_knows_them() -> None:
    template = (
        "{% for t in tools %}<{{ t.function.name }}>{% endfor %}{% for m in messages %}[{{ m.role }}]{{ m.content }}"
        "{% for c in m.tool_calls %}({{ c.function.arguments.a }}){% endfor %}\n{% endfor %}"
        "{% if add_generation_prompt %}[assistant]{% endif %}"
    )
    messages = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "", "tool_calls": [CALL]}]
    example = {"messages": messages, "tools": [{"type": "function", "function": {"name": "f"}}]}
    tokens = encode(character_tokenizer(template), example, scored="response", max_tokens=99)
    assert scored_text(tokens) == "(1)"
    assert "".join(CHARACTERS[token] for token in tokens.ids).startswith("<f>[user]hi")


def test_a_conversation_that_the_template_does_not_take_is_the_examples_fault() -> None:
    template = "{{ raise_exception('roles must alternate') }}"
    example = {"messages": [{"role": "assistant", "content": "x"}]}
    with pytest.raises(Unusable, match="does not take this conversation: roles must alternate"):
        encode(character_tokenizer(template), example, scored="response", max_tokens=9)


@pytest.mark.parametrize(
    ("example", "max_tokens", "why"),
    [
        ({"text": ""}, 9, "it is empty"),
        ({"text": "a"}, 9, "it is a single token, and the first one is never predicted"),
        ({"prompt": "abc", "completion": ""}, 9, "it has no response"),
        ({"prompt": "abc", "completion": "d"}, 3, "what comes before the response fills max_tokens, 3"),
    ],
)
def test_why_nothing_is_scored_is_said(example: dict[str, Any], max_tokens: int, why: str) -> None:
    tokens = encoded(example, max_tokens=max_tokens)
    assert (tokens.n_scored, why_unscored(tokens, max_tokens)) == (0, why)


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


def test_a_text_that_brings_its_own_beginning_gets_no_second_one() -> None:
    tokenizer = character_tokenizer()
    tokenizer.bos_token = "~"
    backend: Any = tokenizer.backend_tokenizer
    backend.post_processor = processors.TemplateProcessing(single="~ $A", special_tokens=[("~", CHARACTERS.index("~"))])
    for text in ("abc", "~abc"):
        tokens = encode(tokenizer, {"text": text}, scored="response", max_tokens=9)
        assert "".join(CHARACTERS[token] for token in tokens.ids) == "~abc"
