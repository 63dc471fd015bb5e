"""Where replies stand in what chat templates make of a conversation: templates as models have them, and what is scored.

Parts of the expected text: (what is not scored) stands outside of brackets, what is scored inside of [ ].
"""

from __future__ import annotations

from typing import Any

import pytest

from forgetcast.errors import ModelMismatch, UnsupportedModel
from forgetcast.layouts.places import Unusable
from tests.workers.language_models import character_tokenizer
from workers.attempt.texts.conversations import check_template, render_conversation, template_sha256

CHATML = (
    "{% if messages[0].role != 'system' %}<s>You are an AI named some-reply</s>{% endif %}{% for m in messages %}"
    "<{{ m.role }}>{{ m.content }}</s>\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
# Drops the thoughts of earlier replies, and writes an empty block of them before the last reply.
THINKING = (
    "{% for m in messages %}<{{ m.role }}>\n{% if m.role == 'assistant' %}{% set said = m.content %}"
    "{% set thought = m.reasoning_content or '' %}{% if '</think>' in said %}"
    "{% set thought = said.split('</think>')[0].split('<think>')[-1].strip() %}"
    "{% set said = said.split('</think>')[-1].lstrip() %}{% endif %}"
    "{% if loop.last %}<think>\n{{ thought.strip() }}\n</think>\n\n{% endif %}{{ said }}"
    "{% for c in m.tool_calls %}<call>{{ c.function | tojson }}</call>{% endfor %}"
    "{% else %}{{ m.content }}{% endif %}</s>\n{% endfor %}{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
LAST_MARKED = "{% for m in messages %}{% if loop.last %}>{% endif %}{{ m.content }}\n{% endfor %}"
TRIMMED = (
    "{{ '^' }}{% for m in messages %}<{{ m.role }}>\n{{ m.content | trim }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>\n{% endif %}"
)
OTHER_LAST_MARK = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% if loop.last %}<|return|>{% else %}<|end|>{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"
)
GENERATION = (
    "{% for m in messages %}<{{ m.role }}>{% if m.role == 'assistant' %}"
    "{% generation %}{{ m.content }}!{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}"
)
NO_END = (
    "{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)


def user(said: str = "hi") -> dict[str, Any]:
    return {"role": "user", "content": said}


def reply(said: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": said, **more}


CALL = {"type": "function", "function": {"name": "f", "arguments": {"a": 1}}}
CASES = [
    ("a first reply that also stands in the default system prompt", CHATML, [reply("AI"), user()],
     "<s>You are an AI named some-reply</s><assistant>[AI</s>]\n<user>hi</s>\n"),
    ("a reply that a user said before", CHATML, [user("yes"), reply("yes"), user("yes"), reply("yes")],
     "<s>You are an AI named some-reply</s><user>yes</s>\n<assistant>[yes</s>]\n<user>yes</s>\n<assistant>[yes</s>]\n"),
    ("a turn of weight 0", CHATML, [user(), reply("no", weight=0), user(), reply("yes")],
     "<s>You are an AI named some-reply</s><user>hi</s>\n<assistant>no</s>\n<user>hi</s>\n<assistant>[yes</s>]\n"),
    ("no thoughts: the empty block is the template's", THINKING, [user(), reply("a"), user(), reply("b")],
     "<user>\nhi</s>\n<assistant>\n[a</s>]\n<user>\nhi</s>\n<assistant>\n<think>\n\n</think>\n\n[b</s>]\n"),
    ("thoughts in the content", THINKING,
     [user(), reply("<think>m</think>a"), user(), reply("<think>\nn\n</think>\n\nb")],
     "<user>\nhi</s>\n<assistant>\n[a</s>]\n<user>\nhi</s>\n<assistant>\n[<think>\nn\n</think>\n\nb</s>]\n"),
    ("thoughts in a field of their own", THINKING, [user(), reply("b", reasoning_content="n")],
     "<user>\nhi</s>\n<assistant>\n[<think>\nn\n</think>\n\nb</s>]\n"),
    ("a call, and a reply after it", THINKING, [user(), reply("", tool_calls=[CALL]), user("3"), reply("b")],
     '<user>\nhi</s>\n<assistant>\n[<call>{"name": "f", "arguments": {"a": 1}}</call></s>]\n<user>\n3</s>\n'
     "<assistant>\n<think>\n\n</think>\n\n[b</s>]\n"),
    ("a header of the last turn alone", LAST_MARKED, [user("1"), reply("2"), user("3"), reply("4")],
     "1\n[2]\n3\n>[4]\n"),
    ("content that the template trims", TRIMMED, [user(), reply("  a \n"), user(), reply("b")],
     "^<user>\nhi<end>\n<assistant>\n[a<end>]\n<user>\nhi<end>\n<assistant>\n[b<end>]\n"),
    ("another mark behind the last reply", OTHER_LAST_MARK, [user(), reply("a"), user(), reply("b")],
     "<user>hi<|end|><assistant>[a]<|end|><user>hi<|end|><assistant>[b<|return|>]"),
    ("a template that marks replies", GENERATION, [user(), reply("a"), user(), reply("b")],
     "<user>hi<assistant>[a!]<user>hi<assistant>[b!]"),
    ("a template that marks replies, one of weight 0", GENERATION, [user(), reply("a", weight=0), user(), reply("b")],
     "<user>hi<assistant>a!<user>hi<assistant>[b!]"),
    ("no mark of the end", NO_END, [user(), reply("a"), user(), reply("b")],
     "user: hi\nassistant: [a]\nuser: hi\nassistant: [b]\n"),
    ("an empty reply", TRIMMED, [user(), reply("")], "^<user>\nhi<end>\n<assistant>\n[<end>]\n"),
]  # fmt: skip


def bracketed(template: Any, messages: list[dict[str, Any]]) -> str:
    text, spans = render_conversation(character_tokenizer(template), messages, None)
    for begin, end in reversed(spans):
        text = f"{text[:begin]}[{text[begin:end]}]{text[end:]}"
    return text


@pytest.mark.parametrize(("template", "messages", "expected"), [x[1:] for x in CASES], ids=[x[0] for x in CASES])
def test_replies_are_told_from_what_the_template_writes(
    template: str, messages: list[dict[str, Any]], expected: str
) -> None:
    assert bracketed(template, messages) == expected


def test_a_template_that_prints_today_prints_the_same_day_for_ever() -> None:
    template = (
        "{{ strftime_now('%d %b %Y') }} {{ strftime_now(\"%Y\") }}{% for m in messages %}{{ m.content }}{% endfor %}"
    )
    assert bracketed(template, [user("-"), reply("a")]) == "26 Jul 2024 2024-[a]"


def test_a_reply_of_which_the_template_makes_something_else_is_refused_by_its_place() -> None:
    shouting = "{% for m in messages %}{{ loop.length }}{{ m.content | upper }}{% endfor %}"
    with pytest.raises(Unusable, match="turn 2 is rewritten by the model's chat template"):
        bracketed(shouting, [user(), reply("ab"), user(), reply("cd")])


def test_what_the_template_says_of_a_conversation_is_passed_on() -> None:
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}"
    with pytest.raises(Unusable, match="does not take this conversation: System role not supported"):
        bracketed(template, [{"role": "system", "content": "s"}, reply("a")])


def test_weights_need_every_reply_marked_by_itself() -> None:
    once = "{% generation %}{% for m in messages %}{{ m.content }}{% endfor %}{% endgeneration %}"
    with pytest.raises(Unusable, match="turns of weight 0"):
        bracketed(once, [reply("a", weight=0), reply("b")])


def test_of_several_templates_the_default_one_is_taken() -> None:
    assert bracketed({"default": NO_END, "rag": CHATML}, [user(), reply("a")]) == "user: hi\nassistant: [a]\n"
    with pytest.raises(UnsupportedModel, match="multiple chat templates"):
        bracketed({"rag": CHATML}, [user(), reply("a")])


def test_a_setting_may_name_the_template_that_it_stands_on() -> None:
    tokenizer = character_tokenizer(NO_END)
    check_template(tokenizer, None)
    check_template(tokenizer, template_sha256(tokenizer))
    with pytest.raises(ModelMismatch, match="the model's folder has one of the sha256"):
        check_template(tokenizer, "0" * 64)
    with pytest.raises(ModelMismatch, match="the model's folder has none"):
        check_template(character_tokenizer(None), "0" * 64)
