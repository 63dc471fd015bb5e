"""JSON in which nothing is lost or guessed."""

from __future__ import annotations

import json
import time

import pytest

from forgetcast.strict_json import MOST_NAMES, load


@pytest.mark.parametrize(
    "text", ['{"a": [1, {"b": null}], "ä": "\\ud83d\\ude00", "": 1e3}', "[]", '"x"', " 1 ", "null"]
)
def test_json_is_read_as_ever(text: str) -> None:
    assert load(text) == load(text.encode()) == json.loads(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1, "a": 1}', "'a' stands twice"),
        ('{"a": {"b": 1, "c": 2, "b": 3}}', "'b' stands twice"),
        ('{"a": 1, "\\u0061": 2}', "'a' stands twice"),
        ('[{"a": 1}, {"a": 1, "a": 2}]', "'a' stands twice"),
        ('{"a": NaN}', "NaN is not a number"),
        ("[-Infinity]", "-Infinity is not a number"),
        ("[" * 200_000, "nested too deep"),
        ("{", "Expecting property name"),
        ("1 2", "Extra data"),
        ("", "Expecting value"),
        (b"\xff\xfe", "byte 0 is not UTF-8"),
        (json.dumps(dict.fromkeys(map(str, range(MOST_NAMES + 1)))), f"at most {MOST_NAMES} are read"),
    ],
)
def test_what_is_lost_elsewhere_is_an_error(text: str | bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        load(text)


def test_finding_a_repeated_name_among_many_takes_no_time() -> None:
    names = [f'"name-{place}": 1' for place in range(100_000)]
    began = time.process_time()
    with pytest.raises(ValueError, match="names"):
        load(f"{{{','.join([*names, names[0]])}}}")
    assert time.process_time() - began < 2
