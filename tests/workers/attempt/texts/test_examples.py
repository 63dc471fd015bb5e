"""The child reads data sets as the API does, and what cannot be used or measured is named."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from forgetcast.errors import BadDataset, UnsupportedModel
from tests.workers.language_models import character_tokenizer
from workers.attempt.texts.examples import read_dataset, read_upstream

CHAT = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}


def lines(*values: Any) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


@pytest.fixture
def read(tmp_path):
    """Tokens and warnings of a data set."""

    def call(content: bytes, max_tokens: int = 99, template: str | None = "default", **recipe: Any):
        path = tmp_path / "dataset.jsonl"
        path.write_bytes(content)
        tokenizer = character_tokenizer() if template == "default" else character_tokenizer(template)
        tokenizer.eos_token = "~"
        warnings: list[str] = []
        return read_dataset(path, tokenizer, {"max_tokens": max_tokens, **recipe}, warnings.append), warnings

    return call


@pytest.mark.parametrize(
    "content",
    [
        lines({"text": None, "prompt": "a", "completion": " b", "messages": None}),
        b'{\r"prompt":\r"a", "completion": " b"}\r',
        gzip.compress(b'[{"prompt": "a", "response": " b"}]', mtime=0),
        '{"prompt": "a", "completion": " b"}'.encode("utf-16"),
    ],
)
def test_what_the_service_takes_the_child_reads(read, content):
    (tokens,), warnings = read(content)
    assert (len(tokens), tokens.n_scored, warnings) == (3, 2, [])


def test_lines_without_a_response_are_left_out_and_the_first_is_named_with_the_reason(read):
    content = lines({"prompt": "a", "completion": "b"}, {"prompt": "ab", "completion": ""}, {"text": "x"})
    usable, warnings = read(content)
    assert len(usable) == 1
    assert warnings == ["2 of 3 examples are left out; the first is line 2: it has no response"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines({"text": "x"}), "the first is line 1: it is a single token"),
        (
            lines({"prompt": "abcdefgh", "completion": "x"}),
            "line 1: what comes before the response fills max_tokens, 8",
        ),
        (lines({"text": "fine"}, {"text": "\ud800"}), "line 2, field text"),
    ],
)
def test_data_that_cannot_be_learned_from_are_named_by_line_and_reason(read, content, said):
    with pytest.raises(BadDataset, match=said):
        read(content, max_tokens=8)


def test_a_conversation_that_the_template_refuses_is_named_by_line(read):
    with pytest.raises(BadDataset, match=r"line 2, field messages: the model's chat template does not take"):
        read(lines({"text": "fine"}, CHAT), template="{{ raise_exception('no') }}")


def test_a_model_without_a_template_is_said_with_the_line_that_needs_one(read):
    with pytest.raises(UnsupportedModel, match="line 2: the model's tokenizer has no chat template"):
        read(lines({"text": "fine"}, CHAT), template=None)


def test_upstream_examples_that_cannot_be_measured_are_named_by_id_and_stop_no_other(tmp_path):
    examples: list[dict[str, Any]] = [
        {"id": "good", **CHAT},
        {"id": "empty", "text": ""},
        {"id": "one", "text": "x"},
        {"id": "long", "messages": [{"role": "user", "content": "x" * 200}, CHAT["messages"][1]]},
        {"id": "unanswered", "messages": CHAT["messages"][:1]},
    ]
    path = tmp_path / "upstream.jsonl"
    path.write_bytes(lines(*examples))
    upstream = read_upstream(path, character_tokenizer(), {"scored": "response", "max_tokens": 60})
    assert upstream.ids == ("good", "empty", "one", "long", "unanswered")
    assert [tokens.n_scored > 0 for tokens in upstream.tokens] == [True, False, False, False, False]
    assert upstream.why_not["long"] == "what comes before the response fills max_tokens, 60"
    assert upstream.left_out().startswith("4 of 5 upstream examples cannot be measured; the first is 'empty': ")


def test_how_many_examples_are_cut_is_said(read, tmp_path):
    content = lines({"prompt": "a", "completion": "b" * 30}, {"prompt": "a", "completion": "b"}, {"text": "x" * 20})
    usable, warnings = read(content, max_tokens=20)
    assert len(usable) == 3
    assert warnings == ["1 of 3 examples are longer than the recipe's max_tokens, 20, and cut there"]
    path = tmp_path / "upstream.jsonl"
    path.write_bytes(lines({"id": "long", "text": "x" * 30}, {"id": "short", "text": "x" * 20}))
    upstream = read_upstream(path, character_tokenizer(), {"scored": "response", "max_tokens": 20})
    assert upstream.cut(20).startswith("1 of 2 upstream examples are longer than the setting's max_tokens, 20")


def test_a_recipe_may_learn_from_prompts_too_and_end_completions_with_eos(read):
    content = lines({"prompt": "ab", "completion": "cd"}, {"text": "xyz"})
    (pair, text), _warnings = read(content)
    assert (pair.n_scored, text.n_scored) == (2, 2)
    (pair, text), _warnings = read(content, completion_only_loss=False)
    assert (pair.n_scored, text.n_scored) == (3, 2)
    (pair, text), _warnings = read(content, append_eos=True)
    assert (len(pair), pair.n_scored, len(text), text.n_scored) == (5, 3, 4, 3)
