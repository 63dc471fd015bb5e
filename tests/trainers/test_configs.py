"""`forgetcast replay --for`: files that today's trainers read; trainers_check.py asks the trainers themselves."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import datasets
import pytest
import yaml
from trl.scripts.utils import DatasetConfig, DatasetMixtureConfig, get_dataset

from forgetcast.layouts import survey
from tests.cli.world import REPLAY_SET
from tests.client.answers import a_task, ok
from tests.trainers.sets import CHAT, conversations


@pytest.fixture
def chats(service):
    """A service whose replay set has conversations."""
    data = conversations().model_dump(mode="json", exclude_none=True)["data"]
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok({**REPLAY_SET, "data": data})
    return service


def lines_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def trl_mixture(folder: Path) -> datasets.Dataset:
    """What TRL's script makes of the config."""
    config = yaml.safe_load((folder / "trl.yaml").read_text())
    return get_dataset(DatasetMixtureConfig(**config))["train"]


def test_trl_reads_the_tasks_rows_and_the_replayed_ones(run, chats, tmp_path):
    task = tmp_path / "task.jsonl"
    turns = [{"role": "user", "content": "a", "name": "me"}, {"role": "assistant", "content": "b", "name": None}]
    task.write_text("".join(json.dumps({"messages": turns, "source": 3}) + "\n" for _ in range(4)))
    assert run("replay", "t", "--for", "trl", "--like", task, "-o", tmp_path / "out").exit_code == 0
    mixed = trl_mixture(tmp_path / "out")
    assert (len(mixed), mixed.column_names) == (7, ["messages"])
    assert mixed[5]["messages"] == [{**turn, "name": None} for turn in CHAT]
    assert None not in mixed["messages"][:]


def test_turns_of_differing_keys_which_datasets_keeps_as_json_are_followed(run, chats, tmp_path):
    task = tmp_path / "task.jsonl"
    called = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": {"name": "f"}}]}
    task.write_text("".join(json.dumps({"messages": turns}) + "\n" for turns in (CHAT, [CHAT[0], called])))
    assert run("replay", "t", "--for", "trl", "--like", task, "-o", tmp_path / "out").exit_code == 0
    assert trl_mixture(tmp_path / "out")[3]["messages"] == CHAT


def test_without_the_tasks_file_trls_config_has_a_place_for_it(run, chats, tmp_path):
    assert run("replay", "t", "--for", "trl", "-o", tmp_path).exit_code == 0
    config = yaml.safe_load((tmp_path / "trl.yaml").read_text())
    mine, theirs = (DatasetConfig(**entry) for entry in config["datasets"])
    assert (mine.data_files, mine.columns, mine.fraction) == ("your-task.jsonl", ["messages"], None)
    assert theirs.columns == ["messages"] and [row["id"] for row in lines_of(Path(str(theirs.data_files)))] == [
        "e0",
        "e1",
        "e2",
    ]


def test_the_file_is_named_by_its_bytes_so_that_no_cache_takes_another_for_it(run, chats, tmp_path):
    run("replay", "t", "--for", "axolotl", "-o", tmp_path)
    (rows,) = tmp_path.glob("replay-*.jsonl")
    digest = hashlib.sha256(rows.read_bytes()).hexdigest()
    assert rows.name == f"replay-{digest[:16]}.jsonl"
    assert json.loads((tmp_path / "manifest.json").read_text())["body_sha256"] == digest
    entry = yaml.safe_load((tmp_path / "axolotl.yaml").read_text())["datasets"][0]
    assert entry["path"] == str(rows) and "weight" not in entry


def test_an_entry_more_is_put_into_llama_factorys_list(run, chats, tmp_path):
    (tmp_path / "dataset_info.json").write_text('{"mine": {"file_name": "mine.json"}}')
    assert run("replay", "t", "--for", "llamafactory", "-o", tmp_path).exit_code == 0
    info = json.loads((tmp_path / "dataset_info.json").read_text())
    config = yaml.safe_load((tmp_path / "llamafactory.yaml").read_text())
    name = config["dataset"].split(",")[1]
    assert info["mine"] == {"file_name": "mine.json"} and config["dataset_dir"] == str(tmp_path)
    assert lines_of(tmp_path / info[name]["file_name"])[1]["messages"] == CHAT


def test_a_list_that_is_no_json_is_left_alone(run, chats, tmp_path):
    (tmp_path / "dataset_info.json").write_text("{")
    result = run("replay", "t", "--for", "llamafactory", "-o", tmp_path)
    assert result.exit_code == 1 and "dataset_info.json" in result.stderr
    assert (tmp_path / "dataset_info.json").read_text() == "{"


@pytest.mark.parametrize(
    ("layout", "columns"),
    [
        ("prompt and completion", {"prompt", "completion"}),
        ("OpenAI chat", {"messages"}),
        ("Alpaca", {"instruction", "input", "output"}),
    ],
)
def test_auto_is_the_layout_in_which_the_service_read_the_task(run, chats, tmp_path, layout, columns):
    read_as = {"layout": layout, "version": 2, "sentence": ""}
    chats.answers["GET", "/v1/tasks/t"] = ok(a_task(read_as=read_as))
    lines = [json.loads(line) for line in run("replay", "t", "--format", "auto").stdout.splitlines()]
    assert set(lines[0]) == {"id", "weight"} | columns


def test_a_file_like_the_tasks_has_its_types(run, chats, tmp_path):
    task = tmp_path / "task.jsonl"
    task.write_text(json.dumps({"prompt": CHAT[:1], "completion": CHAT[1:]}) + "\n")
    assert run("replay", "t", "--like", task, "-o", tmp_path / "out").exit_code == 0
    (rows,) = (tmp_path / "out").glob("replay-*.parquet")
    with rows.open("rb") as source:
        assert survey(source).layout == "conversational prompt and completion"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--for", "trl"], "-o DIR"),
        (["--like", "{task}"], "-o DIR"),
        (["--for", "trl", "--format", "messages", "-o", "{out}"], "--format"),
    ],
)
def test_options_that_do_not_go_together_are_a_usage_error(run, chats, tmp_path, options, said):
    (tmp_path / "task.jsonl").write_text('{"text": "a"}\n')
    filled = [option.format(task=tmp_path / "task.jsonl", out=tmp_path / "out") for option in options]
    result = run("replay", "t", *filled)
    assert result.exit_code == 2 and said in result.stderr


def test_a_task_file_that_cannot_be_read_is_one_line(run, chats, tmp_path):
    task = tmp_path / "task.jsonl"
    task.write_text("{nothing\n")
    result = run("replay", "t", "--for", "trl", "--like", task, "-o", tmp_path / "out")
    assert result.exit_code == 1 and "task.jsonl" in result.stderr
