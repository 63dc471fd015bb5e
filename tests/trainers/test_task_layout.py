"""A replayed example as a row of the task's layout, which `forgetcast.layouts` reads back as the same."""

from __future__ import annotations

from typing import Any

import pytest

from forgetcast.errors import BadDataset, InvalidRequest, TextsMissing
from forgetcast.layouts.table import layout_of
from forgetcast.trainers.task_layout import layout_like, layout_named
from tests.trainers.sets import CHAT, LONGER, a_set

TURNS = [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "ho"}]
TASKS: dict[str, dict[str, Any]] = {
    "OpenAI chat": {"messages": CHAT},
    "ShareGPT": {"conversation": TURNS},
    "prompt and completion": {"prompt": "a", "completion": "b"},
    "question and answer": {"question": "a", "answer": "b"},
    "conversational prompt and completion": {"prompt": CHAT[:1], "completion": CHAT[1:]},
    "Alpaca": {"instruction": "a", "input": "", "output": "b"},
    "Dolly": {"instruction": "a", "context": "", "response": "b"},
}


@pytest.mark.parametrize("name", TASKS)
def test_a_row_is_of_the_tasks_layout_and_has_its_columns(name):
    layout = layout_like(TASKS[name])
    record = layout.record(a_set({"id": "e", "messages": LONGER}).data[0])
    assert (layout.name, layout_of(record).name) == (name, name)
    assert tuple(record) == layout.columns and set(record) <= set(TASKS[name])


@pytest.mark.parametrize("name", ["OpenAI chat", "ShareGPT", "conversational prompt and completion"])
def test_conversations_keep_every_turn(name):
    record = layout_like(TASKS[name]).record(a_set({"id": "e", "messages": LONGER}).data[0])
    turns = layout_of(record).convert(record)["messages"]
    assert [(turn["role"], turn["content"]) for turn in turns] == [(turn["role"], turn["content"]) for turn in LONGER]


def test_plain_texts_follow_plain_texts():
    assert layout_like({"text": "a"}).record(a_set({"id": "e", "text": "old"}).data[0]) == {"text": "old"}


def test_a_conversation_is_no_plain_text():
    with pytest.raises(InvalidRequest, match="chat template"):
        layout_like({"text": "a"}).record(a_set({"id": "e", "messages": CHAT}).data[0])


def test_an_example_without_text_is_named():
    with pytest.raises(TextsMissing, match="'e'"):
        layout_named("OpenAI chat").record(a_set({"id": "e"}).data[0])


def test_two_answers_do_not_fit_a_pair():
    with pytest.raises(InvalidRequest, match="'e'"):
        layout_named("prompt and completion").record(a_set({"id": "e", "messages": CHAT + CHAT}).data[0])


@pytest.mark.parametrize("name", ["Gemini", "OpenAI chat and text", "text and ShareGPT"])
def test_a_layout_that_no_set_is_written_in_is_refused_by_name(name):
    with pytest.raises(InvalidRequest, match=name):
        layout_named(name)


def test_a_row_of_no_layout_is_refused():
    with pytest.raises(BadDataset, match="first example"):
        layout_like({"a": 1})
