"""A replay set as lines for a trainer."""

from __future__ import annotations

import json
from typing import Any

import pytest

from forgetcast.errors import InvalidRequest, TextsMissing
from forgetcast.replay_formats import replay_lines
from forgetcast.schemas import ReplayExample, ReplayFormat

USER, ANSWER = {"role": "user", "content": "Wie geht s?"}, {"role": "assistant", "content": "Gut."}
SYSTEM = {"role": "system", "content": "Be short."}


def line(form: str, **content: Any) -> dict[str, Any]:
    fields = {"id": "é", "weight": 0.5, "forgetting": 0.1, "domain": "chat", **content}
    (written,) = replay_lines([ReplayExample.model_validate(fields)], ReplayFormat(form))
    assert written.endswith("}\n") and "\\u" not in written
    said: dict[str, Any] = json.loads(written)
    return said


def test_examples_keep_all_that_is_known_of_them() -> None:
    assert line("examples", text="t") == {"id": "é", "weight": 0.5, "forgetting": 0.1, "domain": "chat", "text": "t"}


def test_messages_stay_as_they_are() -> None:
    assert line("messages", messages=[USER, ANSWER])["messages"] == [USER, ANSWER]


def test_a_plain_text_is_one_turn_of_the_assistant() -> None:
    assert line("messages", text="Es war.")["messages"] == [{"role": "assistant", "content": "Es war."}]


def test_a_plain_text_has_an_empty_prompt() -> None:
    assert line("prompt_completion", text="Es war.") == {
        "id": "é",
        "prompt": "",
        "completion": "Es war.",
        "weight": 0.5,
    }


def test_what_stands_before_the_answer_is_its_prompt() -> None:
    said = line("prompt_completion", messages=[SYSTEM, USER, ANSWER])
    assert (said["prompt"], said["completion"]) == ("Be short.\n\nWie geht s?", "Gut.")


@pytest.mark.parametrize("turns", [[USER, ANSWER, USER, ANSWER], [USER], [ANSWER, USER]])
def test_a_conversation_that_prompt_and_completion_cannot_hold_is_refused_by_name(turns: list[Any]) -> None:
    with pytest.raises(InvalidRequest, match=r"'é'.*messages"):
        line("prompt_completion", messages=turns)


@pytest.mark.parametrize("form", ["messages", "prompt_completion"])
def test_a_text_that_is_missing_is_said_to_be(form: str) -> None:
    with pytest.raises(TextsMissing, match=r"'é'.*ids"):
        line(form)


def test_ids_need_no_text() -> None:
    assert line("ids") == {"id": "é", "weight": 0.5}
