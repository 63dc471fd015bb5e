"""A slip in a fine-tuning file is named with line and field before anything is sent."""

from __future__ import annotations

import json

import pytest

from forgetcast.cli.dataset import check_dataset
from forgetcast.errors import BadDataset


def check(tmp_path, *lines: str) -> int:
    file = tmp_path / "task.jsonl"
    file.write_text("\n".join(lines), encoding="utf-8")
    return check_dataset(file)


def test_every_form_is_taken(tmp_path):
    chat = {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}
    lines = ['{"text": "one"}', '{"prompt": "a", "completion": "b", "source": "mine"}', json.dumps(chat)]
    assert check(tmp_path, *lines) == 3


def test_empty_lines_and_a_byte_order_mark_do_no_harm(tmp_path):
    assert check(tmp_path, '\ufeff{"text": "one"}', "", '{"text": "two"}', "") == 2


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{text: 1}", "line 2: not JSON"),
        ('{"text": NaN}', "line 2: not JSON (NaN is no number in JSON)"),
        ("[" * 100_000, "line 2: not JSON"),
        ("[1]", "line 2: a JSON object is needed"),
        ("{}", "line 2: one of"),
        ('{"txt": "a"}', "found txt"),
        ('{"prompt": "a"}', "line 2: the field 'completion' is missing beside 'prompt'"),
        ('{"completion": "a"}', "line 2: the field 'prompt' is missing beside 'completion'"),
        ('{"text": 7}', "line 2: the field 'text' must be a string"),
        ('{"text": "a", "prompt": "b", "completion": "c"}', "found text, prompt, completion"),
        ('{"messages": "a"}', "'messages' must be a list"),
        ('{"messages": [{"role": "robot", "content": "a"}]}', "'messages/0/role' must be one of system"),
        ('{"messages": [{"role": "assistant"}]}', "'messages/0/content' must be a string"),
        ('{"messages": [{"role": "user", "content": "a"}]}', "no turn of the assistant"),
    ],
)
def test_a_line_that_cannot_be_used_is_named(tmp_path, line, said):
    with pytest.raises(BadDataset) as raised:
        check(tmp_path, '{"text": "one"}', line)
    assert said in str(raised.value)


def test_bytes_that_are_no_utf8_are_named(tmp_path):
    file = tmp_path / "task.jsonl"
    file.write_bytes(b'{"text": "\xff"}\n')
    with pytest.raises(BadDataset, match="line 1: not JSON"):
        check_dataset(file)


@pytest.mark.parametrize("content", ["", "\n\n  \n"])
def test_an_empty_file_is_said_to_be_empty(tmp_path, content):
    with pytest.raises(BadDataset, match="is empty"):
        check(tmp_path, content)


def test_a_missing_file_is_said_to_be_missing(tmp_path):
    with pytest.raises(BadDataset, match="there is no file"):
        check_dataset(tmp_path / "nothing.jsonl")


def test_a_folder_is_no_data_set(tmp_path):
    with pytest.raises(BadDataset, match="cannot be read"):
        check_dataset(tmp_path)
