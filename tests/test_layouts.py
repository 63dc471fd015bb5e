"""Every usual layout and wrapping of fine-tuning data: what it is read as, or the sentence that says what it is."""

from __future__ import annotations

import gzip
import io
import json
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from forgetcast.errors import BadDataset, LimitExceeded
from forgetcast.layouts import read_examples, survey, values

ASKED = {"role": "user", "content": "hi"}
SAID = {"role": "assistant", "content": "hello"}
CHAT: dict[str, Any] = {"messages": [ASKED, SAID]}
WEATHER = {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}}
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}}
CALLED = {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
WITH_CALL = [ASKED, {"role": "assistant", "content": None, "tool_calls": [CALL]}]


def read(content: bytes) -> list[dict[str, Any]]:
    return [example.content for example in read_examples(io.BytesIO(content))]


def said_of(content: bytes) -> str:
    return survey(io.BytesIO(content)).sentence


def lines(*examples: Any) -> bytes:
    return b"".join(json.dumps(example).encode() + b"\n" for example in examples)


def parquet(*rows: dict[str, Any]) -> bytes:
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(list(rows)), target)
    return target.getvalue()


def zstd(content: bytes) -> bytes:
    packed: bytes = pyarrow.Codec("zstd").compress(content, asbytes=True)
    return packed


# What an example looks like


@pytest.mark.parametrize(
    ("line", "layout", "content"),
    [
        ({"text": "a"}, "text", {"text": "a"}),
        (
            {"text": None, "prompt": "a", "completion": " b", "messages": None},
            "prompt and completion",
            {"prompt": "a", "completion": " b"},
        ),
        ({"text": "a", "id": 7, "source": {"x": [1]}}, "text", {"text": "a"}),
        (CHAT, "OpenAI chat", CHAT),
        ({"prompt": "beside", "prompt_id": "7", **CHAT}, "OpenAI chat", CHAT),
        ({"messages": [{**ASKED, "name": None, "id": 3}, {**SAID, "tool_calls": None}]}, "OpenAI chat", CHAT),
        (
            {"messages": [{"role": "developer", "content": "be brief"}, ASKED, SAID]},
            "OpenAI chat",
            {"messages": [{"role": "system", "content": "be brief"}, ASKED, SAID]},
        ),
        (
            {"messages": [ASKED, {"role": "assistant", "content": [{"type": "text", "text": "hel"}, "lo"]}]},
            "OpenAI chat",
            CHAT,
        ),
        (
            {"messages": [ASKED, {**SAID, "thinking": "hm"}, ASKED, {**SAID, "reasoning_content": ""}]},
            "OpenAI chat",
            {"messages": [ASKED, {**SAID, "reasoning_content": "hm"}, ASKED, SAID]},
        ),
        (
            {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, {**SAID, "weight": 1}]},
            "OpenAI chat",
            {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]},
        ),
        (
            {"messages": WITH_CALL, "tools": [{"type": "function", "function": WEATHER}], "parallel_tool_calls": True},
            "OpenAI chat",
            {
                "messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": [{**CALLED, "id": "c1"}]}],
                "tools": [{"type": "function", "function": WEATHER}],
            },
        ),
        (
            {
                "messages": [ASKED, {"role": "assistant", "content": None, "function_call": CALL["function"]}],
                "functions": [WEATHER],
            },
            "OpenAI chat",
            {
                "messages": [ASKED, {"role": "assistant", "content": "", "tool_calls": [CALLED]}],
                "tools": [{"type": "function", "function": WEATHER}],
            },
        ),
        (
            {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]},
            "ShareGPT",
            CHAT,
        ),
        (
            {
                "system": "be brief",
                "tools": json.dumps([WEATHER]),
                "conversations": [
                    {"from": "human", "value": "hi"},
                    {"from": "function_call", "value": json.dumps({"name": "weather", "arguments": {"city": "Oslo"}})},
                    {"from": "observation", "value": "rain"},
                    {"from": "gpt", "value": "hello"},
                ],
            },
            "ShareGPT",
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    ASKED,
                    {"role": "assistant", "content": "", "tool_calls": [CALLED]},
                    {"role": "tool", "content": "rain"},
                    SAID,
                ],
                "tools": [{"type": "function", "function": WEATHER}],
            },
        ),
        ({"conversations": [ASKED, SAID]}, "ShareGPT", CHAT),
        ({"messages": [{"from": "user", "value": "hi"}, {"from": "assistant", "value": "hello"}]}, "ShareGPT", CHAT),
        (
            {"prompt": [ASKED], "completion": [SAID]},
            "conversational prompt and completion",
            CHAT,
        ),
        (
            {"prompt": [ASKED, SAID, ASKED], "completion": [SAID]},
            "conversational prompt and completion",
            {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]},
        ),
        (
            {
                "systemInstruction": {"role": "system", "parts": [{"text": "be brief"}]},
                "contents": [
                    {"role": "user", "parts": [{"text": "hi"}]},
                    {"role": "model", "parts": [{"text": "hello"}]},
                ],
            },
            "Gemini",
            {"messages": [{"role": "system", "content": "be brief"}, ASKED, SAID]},
        ),
        (
            {"instruction": "Add.", "input": "", "output": "2"},
            "Alpaca",
            {
                "prompt": "Below is an instruction that describes a task. Write a response that appropriately "
                "completes the request.\n\n### Instruction:\nAdd.\n\n### Response:\n",
                "completion": "2",
            },
        ),
        (
            {"instruction": "Add.", "input": "1 and 1", "output": "2", "text": "all of it once more"},
            "Alpaca",
            {
                "prompt": "Below is an instruction that describes a task, paired with an input that provides further "
                "context. Write a response that appropriately completes the request.\n\n### Instruction:\nAdd.\n\n"
                "### Input:\n1 and 1\n\n### Response:\n",
                "completion": "2",
            },
        ),
        (
            {"instruction": "hi", "output": "hello", "history": [["hi", "hello"]]},
            "Alpaca",
            {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]},
        ),
        (
            {"instruction": "Add.", "context": "", "response": "2", "category": "sums"},
            "Dolly",
            {
                "prompt": "Below is an instruction that describes a task. Write a response that appropriately "
                "completes the request.\n\n### Instruction:\nAdd.\n\n### Response:\n",
                "completion": "2",
            },
        ),
        ({"prompt": "a", "response": "b"}, "prompt and response", {"prompt": "a\n", "completion": "b"}),
        ({"question": "a ", "answer": "b"}, "question and answer", {"prompt": "a ", "completion": "b"}),
        ({"input": "a", "output": " b"}, "input and output", {"prompt": "a", "completion": " b"}),
        (
            {"system_prompt": "s", "question": "a", "response": "b"},
            "question and response",
            {"prompt": "s\n\na\n", "completion": "b"},
        ),
    ],
)
def test_a_usual_layout_is_named_and_converted(line: dict[str, Any], layout: str, content: dict[str, Any]) -> None:
    assert read(lines(line)) == [content]
    assert survey(io.BytesIO(lines(line))).layout == layout


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"prompt": "a", "chosen": "b", "rejected": "c"}, "line 2: this is a preference pair (chosen, rejected)"),
        ({"chosen": [ASKED, SAID], "rejected": [ASKED, SAID], "messages": []}, "preference pair"),
        ({"input": {}, "preferred_output": [SAID], "non_preferred_output": [SAID]}, "(preferred_output, non_preferred"),
        ({"prompt": "a", "completion": "b", "label": False}, "as for KTO"),
        ({"input_ids": [1, 2]}, "tokenised already"),
        (ASKED, "one turn and no example"),
        ([ASKED, SAID], 'a list of turns; write {"messages": [...]} around it'),
        ({"data": [{"text": "a"}]}, "one object around a list of examples"),
        ({"text": {"0": "a", "1": "b"}}, "line 2, field text: must be a string; a file by columns"),
        ({}, "found nothing"),
        ({"txt": "a", "n": 1}, "found txt, n"),
        ({"text": 7}, "line 2, field text: must be a string"),
        ({"text": "a", "prompt": "b", "completion": "c"}, "found text, prompt, completion"),
        ({"prompt": "a"}, "the field 'completion' is missing beside 'prompt'"),
        ({"completion": "a"}, "the field 'prompt' is missing beside 'completion'"),
        ({"prompt": "a", "completion": None}, "the field 'completion' is missing"),
        ({"text": "cut \ud83d off"}, r"line 2, field text: holds \ud83d, half of a surrogate pair, at its character 5"),
        ({"messages": [ASKED, {**SAID, "content": "\udc00"}]}, "line 2, field messages/1/content: holds"),
        ({"messages": "a"}, "field messages: must be a list of turns"),
        ({"messages": ["a"]}, "field messages/0: must be a turn"),
        ({"messages": [{"role": "robot", "content": "a"}]}, "field messages/0/role: must be one of system"),
        ({"messages": [{"role": "assistant"}]}, "field messages/0/content: is missing"),
        ({"messages": [ASKED, {"role": "assistant", "content": None}]}, "messages/1/content: is null"),
        ({"messages": [ASKED]}, "no turn of the assistant"),
        ({"messages": [ASKED, {**SAID, "weight": 0.5}]}, "messages/1/weight: must be 0 or 1"),
        ({"messages": [ASKED, {**SAID, "tool_calls": [{"id": "x"}]}]}, "messages/1/tool_calls/0: must be a call"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}, SAID]},
            "messages/0/content/0: is of the type image_url, and only text is read",
        ),
        ({**CHAT, "tools": "no json"}, "field tools: is a string, and not JSON"),
    ],
)
def test_what_cannot_be_used_is_named_with_its_line_and_field(line: Any, said: str) -> None:
    with pytest.raises(BadDataset) as raised:
        survey(io.BytesIO(lines({"text": "first"}, line)))
    assert said in str(raised.value)
    assert raised.value.errors[0].pointer.startswith("/1")


# How examples stand in a file


@pytest.mark.parametrize(
    "content",
    [
        b'{"text": "a"}\n{"text": "b"}',
        b'{"text": "a"}\r\n\r\n{"text": "b"}\r\n',
        b'{"text": "a"}\r{"text": "b"}\r',
        b'{\r"text":\r"a"}\n{"text": "b"}\n',
        b'{"text": "a"}{"text": "b"}',
        b'{\n  "text": "a"\n}\n{\n  "text": "b"\n}\n',
        b'[{"text": "a"}, {"text": "b"}]',
        b'[\n  {"text": "a"},\n  {"text": "b"}\n]\n',
        b'\xef\xbb\xbf{"text": "a"}\n\xef\xbb\xbf{"text": "b"}\n',
        '{"text": "a"}\n{"text": "b"}\n'.encode("utf-16"),
        '{"text": "a"}\n{"text": "b"}\n'.encode("utf-16-le"),
        '[{"text": "a"}, {"text": "b"}]'.encode("utf-16-be"),
        '{"text": "a"}\n{"text": "b"}\n'.encode("utf-32"),
        gzip.compress(b'{"text": "a"}\n', mtime=0) + gzip.compress(b'{"text": "b"}\n', mtime=0),
        zstd(b'{"text": "a"}\n{"text": "b"}\n'),
        parquet({"text": "a", "prompt": None, "__index_level_0__": 4}, {"text": "b", "prompt": None}),
    ],
)
def test_the_same_examples_are_read_however_they_stand(content: bytes) -> None:
    assert read(content) == [{"text": "a"}, {"text": "b"}]


def test_structs_of_parquet_have_nulls_where_other_rows_have_fields():
    turns = [{**ASKED, "weight": None}, {**SAID, "weight": 0.0}, {**SAID, "weight": 1.0}]
    assert read(parquet({"messages": turns})) == [{"messages": [ASKED, {**SAID, "weight": 0}, SAID]}]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n \r\n", "is empty"),
        (b"[]", "is empty"),
        (b'{"text": "a"}\n{text: 1}\n', "line 2: not JSON"),
        (b'{"text": "a"}\n{"text": "cut off', "line 2: not JSON"),
        (b'{"text": "a"}\n{"text": "cut\n{"text": "c"}\n', "line 2: not JSON"),
        (b'{"text": "a"}\n{"text": NaN}\n', "line 2: not JSON: NaN"),
        (b'{"text": "a"}\n' + b"[" * 100_000, "line 2: not JSON: nested too deep"),
        (b'{"text": "a"}\n[1]\n', "line 2: a JSON object is needed"),
        (b'{"text": "a", "text": "b"}\n', "the field 'text' stands twice"),
        (b'{"text": "a"},\n{"text": "b"},\n', "line 1: a comma stands here"),
        (b'[{"text": "a"}\n{"text": "b"}]', "item 2 (line 2): the array ends too early"),
        (b'[{"text": "a"},\n{"text": "b"}', "the array has no end; the file is cut off"),
        (b'[{"text": "a"}] {"text": "b"}', "more stands after the end of the array"),
        (b"text,label\na,1\n", "line 1: not JSON: it begins with 'text,label'; if it is CSV"),
        (b'{"text": "a"}\n{"text": "\xe9"}\n', "line 2: not UTF-8; if the file is Latin-1"),
        (b'{"text": "a"}\n\xff\xfe\n', "line 2: not UTF-8"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"\xfd7zXZ\x00..", "compressed with xz"),
        (gzip.compress(b'{"text": "a"}\n' * 999, mtime=0)[:-9], "the gzip file is cut off"),
        (zstd(b'{"text": "a"}\n' * 999)[:-9], "the zstd file is cut off"),
        (gzip.compress(parquet({"text": "a"}), mtime=0), "Parquet within gzip"),
        (b"PAR1 and nothing else", "not a Parquet file that can be read"),
    ],
)
def test_a_file_that_cannot_be_read_is_said_to_be_what_it_is(content: bytes, said: str) -> None:
    with pytest.raises(BadDataset) as raised:
        survey(io.BytesIO(content))
    assert said in str(raised.value)


def test_an_endless_example_is_not_held(monkeypatch):
    monkeypatch.setattr(values, "LONGEST", 1000)
    monkeypatch.setattr(values, "CHUNK", 100)
    with pytest.raises(LimitExceeded, match="line 2 is longer"):
        survey(io.BytesIO(b'{"text": "a"}\n{"text": "' + b"x" * 2000 + b'"}\n'))


def test_a_small_file_that_unpacks_to_too_much_is_not_unpacked(monkeypatch):
    monkeypatch.setattr("forgetcast.layouts.wrappings.SMALL", 1000)
    with pytest.raises(LimitExceeded, match="unpacks to more"):
        survey(io.BytesIO(gzip.compress(b" " * 1_000_000)))


@pytest.mark.parametrize("chunk", [1, 7, 64])
def test_where_a_chunk_ends_changes_nothing(monkeypatch, chunk):
    content = '[{"text": "\\u00e9\\ud83d\\ude00 é"},\r\n {"n": -12.5e3, "text": "b", "x": [true, null]}]'.encode()
    monkeypatch.setattr(values, "CHUNK", chunk)
    assert read(content) == [{"text": "é\U0001f600 é"}, {"text": "b"}]


# What is said of the whole


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lines(*[CHAT] * 1200), "read as OpenAI chat, 1,200 conversations"),
        (lines({"text": "a"}, CHAT), "read as text (1 text) and OpenAI chat (1 conversation)"),
        (gzip.compress('{"text": "a"}'.encode("utf-16"), mtime=0), "read as text, 1 text, from gzip and UTF-16"),
        (
            lines({"text": "a"}, {"text": ""}),
            "read as text, 2 texts; 1 has no text to learn from, the first is line 2",
        ),
    ],
)
def test_the_answer_names_layout_and_number(content: bytes, said: str) -> None:
    assert said_of(content) == said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ({"text": ""}, "line 1: the text is empty"),
        ({"prompt": "a", "completion": ""}, "line 1: the completion is empty"),
        ({"messages": [ASKED, {**SAID, "weight": 0}]}, "line 1: no turn of the assistant has text"),
        ({"messages": [ASKED, {**SAID, "content": ""}]}, "line 1: no turn of the assistant has text"),
    ],
)
def test_data_without_anything_to_learn_from_are_refused(line: dict[str, Any], said: str) -> None:
    with pytest.raises(BadDataset, match=said):
        survey(io.BytesIO(lines(line, line)))
