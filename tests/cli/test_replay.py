"""`forgetcast replay`: files for a trainer."""

from __future__ import annotations

import json

from tests.cli.world import REPLAY_SET
from tests.client.answers import ok


def test_both_files_are_written(run, service, tmp_path):
    result = run("replay", "t", "--size", 2, "-o", tmp_path / "replay")
    assert result.exit_code == 0
    lines = (tmp_path / "replay" / "replay.jsonl").read_text().splitlines()
    assert [json.loads(line) for line in lines] == REPLAY_SET["data"]
    assert json.loads((tmp_path / "replay" / "manifest.json").read_text()) == REPLAY_SET["manifest"]
    assert sorted(path.name for path in (tmp_path / "replay").iterdir()) == ["manifest.json", "replay.jsonl"]


def test_only_what_is_given_goes_along(run, service):
    run("replay", "t", "--ratio", "0.1", "--strategy", "top", "--seed", 3, "--min-per-domain", 1)
    asked = dict(service.asked("GET", "/v1/tasks/t/replay-set")[0].url.params)
    assert asked == {"ratio": "0.1", "strategy": "top", "seed": "3", "min_per_domain": "1"}


def test_without_a_folder_the_lines_go_to_stdout(run, service):
    result = run("replay", "t")
    assert [json.loads(line)["id"] for line in result.stdout.splitlines()] == ["poems-02", "code-01"]
    assert "warning: collapsed" in result.stderr


def test_quiet_prints_ids(run, service):
    result = run("replay", "t", "-q")
    assert (result.stdout, result.stderr) == ("poems-02\ncode-01\n", "")


def test_size_and_ratio_exclude_each_other(run, service):
    assert run("replay", "t", "--size", 2, "--ratio", "0.1").exit_code == 2


def test_texts_that_the_service_does_not_have_are_said_to_be_missing(run, service):
    data = [{**one, "text": None} for one in REPLAY_SET["data"]]
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok({**REPLAY_SET, "data": data})
    result = run("replay", "t")
    assert "join them by id" in result.stderr
    assert "text" not in json.loads(result.stdout.splitlines()[0])


def test_a_folder_that_cannot_be_made_is_one_line(run, service, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("replay", "t", "-o", tmp_path / "file" / "replay")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1
