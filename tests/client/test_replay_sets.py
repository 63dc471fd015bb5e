"""A replay set in the client: texts joined here, files, a Dataset."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet
import pytest

from forgetcast.client import ReplaySet
from forgetcast.errors import BadDataset, TextsMissing
from tests.cli.world import REPLAY_SET

CHAT = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]


def a_set(*examples: dict[str, Any]) -> ReplaySet:
    data = [{"weight": 1.0, "forgetting": 0.1, "domain": "", **example} for example in examples]
    return ReplaySet.model_validate({"manifest": REPLAY_SET["manifest"], "data": data})


@pytest.fixture
def ids_only() -> ReplaySet:
    return a_set({"id": "a"}, {"id": "é"}, {"id": "c"})


def texts_of(replay_set: ReplaySet) -> list[str | None]:
    return [example.text for example in replay_set.data]


def test_texts_are_joined_by_id(ids_only: ReplaySet) -> None:
    hydrated = ids_only.hydrate({"é": "two", "a": "one", "c": CHAT, "other": "no"})
    assert texts_of(hydrated) == ["one", "two", None]
    assert [turn.content for turn in hydrated.data[2].messages or []] == ["2 + 2?", "4"]
    assert (hydrated.ids, hydrated.without_text, hydrated.manifest) == (["a", "é", "c"], [], ids_only.manifest)


def test_a_text_that_the_service_has_stays() -> None:
    assert texts_of(a_set({"id": "a", "text": "theirs"}, {"id": "b"}).hydrate({"a": "x", "b": "y"})) == ["theirs", "y"]


@pytest.mark.parametrize("named", [Path, str])
def test_json_lines_are_joined(ids_only: ReplaySet, tmp_path: Path, named: type[Path | str]) -> None:
    file = tmp_path / "texts.jsonl"
    lines = [{"id": name, "text": f"text of {name}", "source": 7} for name in ("z", "c", "é", "a")]
    file.write_text("\n\n".join(json.dumps(line) for line in lines), encoding="utf-8-sig")
    assert texts_of(ids_only.hydrate(named(file))) == ["text of a", "text of é", "text of c"]


def test_parquet_is_joined(ids_only: ReplaySet, tmp_path: Path) -> None:
    names = ["a", "c", "é"]
    columns = {"id": names, "text": ["one", None, "two"], "messages": [None, CHAT, None], "other": [1, 2, 3]}
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "texts.parquet")
    hydrated = ids_only.hydrate(tmp_path / "texts.parquet")
    assert texts_of(hydrated) == ["one", "two", None]


def test_records_are_joined_and_read_no_further_than_needed(ids_only: ReplaySet) -> None:
    def records():
        yield from ({"id": name, "text": name} for name in ("c", "a", "é"))
        raise AssertionError("read on")

    assert texts_of(ids_only.hydrate(records())) == ["a", "é", "c"]


def test_examples_that_are_not_there_are_named(ids_only: ReplaySet, tmp_path: Path) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text('{"id": "a", "text": "one"}\n')
    with pytest.raises(TextsMissing, match=r"2 of 3 examples have no text in .*texts\.jsonl: 'é', 'c'"):
        ids_only.hydrate(file)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: not JSON"),
        ("[]", 'line 2: an object with an "id"'),
        ('{"text": "x"}', 'line 2: an object with an "id"'),
        ('{"id": "c"}', "line 2: the example 'c' has neither text nor messages"),
        ('{"id": "c", "text": 5}', "line 2: text: "),
        ('{"id": "c", "messages": [{"role": "robot", "content": ""}]}', "line 2: messages/0/role: "),
    ],
)
def test_a_line_that_cannot_be_used_is_named(ids_only: ReplaySet, tmp_path: Path, line: str, said: str) -> None:
    file = tmp_path / "texts.jsonl"
    file.write_text(f'{{"id": "a", "text": "one"}}\n{line}\n')
    with pytest.raises(BadDataset) as raised:
        ids_only.hydrate(file)
    assert said in str(raised.value)


def test_a_file_that_is_no_parquet_is_said_to_be_none(ids_only: ReplaySet, tmp_path: Path) -> None:
    (tmp_path / "texts.parquet").write_bytes(b"no")
    with pytest.raises(BadDataset, match="no Parquet file"):
        ids_only.hydrate(tmp_path / "texts.parquet")


def test_files_for_a_trainer_are_written_with_the_manifest_beside(ids_only: ReplaySet, tmp_path: Path) -> None:
    path = ids_only.hydrate({"a": "one", "é": "two", "c": CHAT}).write(str(tmp_path), "messages")
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    assert (path.name, lines[2]["messages"]) == ("replay.jsonl", CHAT)
    written = {"format": "messages", "body_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    assert json.loads((tmp_path / "manifest.json").read_text()) == REPLAY_SET["manifest"] | written


def test_what_cannot_be_written_leaves_no_file(ids_only: ReplaySet, tmp_path: Path) -> None:
    with pytest.raises(TextsMissing):
        ids_only.write(tmp_path / "new", "messages")
    assert list((tmp_path / "new").iterdir()) == []


def test_parquet_comes_back_as_it_was_written(ids_only: ReplaySet, tmp_path: Path) -> None:
    hydrated = ids_only.hydrate({"a": "one", "é": "two", "c": CHAT})
    rows = pyarrow.parquet.read_table(hydrated.write(tmp_path, "parquet")).to_pylist()
    assert rows == [example.model_dump(mode="json") for example in hydrated.data]


def test_a_dataset_of_hugging_face_holds_the_records(ids_only: ReplaySet, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    dataset = ids_only.hydrate({"a": "one", "é": "two", "c": CHAT}).to_datasets("messages")
    assert dataset.column_names == ["id", "messages", "weight"]
    assert dataset[2]["messages"] == CHAT
    again = ids_only.hydrate(dataset.select_columns(["id", "messages"]))
    assert [turn.content for turn in again.data[2].messages or []] == ["2 + 2?", "4"]
