"""`forgetcast replay`: files for a trainer."""

from __future__ import annotations

import hashlib
import json

import pyarrow.parquet
import pytest

from tests.cli.world import REPLAY_SET
from tests.client.answers import ok


def test_both_files_are_written(run, service, tmp_path):
    result = run("replay", "t", "--size", 2, "-o", tmp_path / "replay")
    assert result.exit_code == 0
    content = (tmp_path / "replay" / "replay.jsonl").read_bytes()
    lines = content.decode().splitlines()
    assert [json.loads(line) for line in lines] == REPLAY_SET["data"]
    written = {"format": "examples", "body_sha256": hashlib.sha256(content).hexdigest()}
    assert json.loads((tmp_path / "replay" / "manifest.json").read_text()) == REPLAY_SET["manifest"] | written
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
    assert "--texts" in result.stderr
    assert "text" not in json.loads(result.stdout.splitlines()[0])


def test_a_folder_that_cannot_be_made_is_one_line(run, service, tmp_path):
    (tmp_path / "file").write_text("")
    result = run("replay", "t", "-o", tmp_path / "file" / "replay")
    assert result.exit_code == 1
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.fixture
def without_texts(service):
    data = [{**one, "text": None} for one in REPLAY_SET["data"]]
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok({**REPLAY_SET, "data": data})
    return service


def test_texts_are_joined_from_a_file_that_stays_here(run, without_texts, tmp_path):
    texts = tmp_path / "texts.jsonl"
    texts.write_text('{"id": "code-01", "text": "one"}\n{"id": "x", "text": "no"}\n{"id": "poems-02", "text": "two"}\n')
    result = run("replay", "t", "--texts", texts, "--format", "prompt_completion")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["id"], line["completion"]) for line in lines] == [("poems-02", "two"), ("code-01", "one")]
    assert "--texts" not in result.stderr


def test_a_text_that_is_nowhere_is_one_line_that_names_its_id(run, without_texts, tmp_path):
    result = run("replay", "t", "--format", "messages")
    assert result.exit_code == 1
    assert "'poems-02'" in result.stderr and "--texts" in result.stderr


def test_ids_need_no_texts(run, without_texts):
    result = run("replay", "t", "--format", "ids")
    assert json.loads(result.stdout.splitlines()[0]) == {"id": "poems-02", "weight": 0.7}
    assert "--texts" not in result.stderr


def test_parquet_is_written_into_a_folder(run, service, tmp_path):
    assert run("replay", "t", "--format", "parquet").exit_code == 2
    assert run("replay", "t", "--format", "parquet", "-o", tmp_path).exit_code == 0
    assert pyarrow.parquet.read_table(tmp_path / "replay.parquet")["id"].to_pylist() == ["poems-02", "code-01"]
    assert (tmp_path / "manifest.json").exists()


def test_a_fence_is_asked_for_and_what_it_costs_is_said(run, service):
    cost = {"task": "c", "row_version": 2, "n_fenced": 15, "n_replaced": 3}
    means = {"mean_forgetting": 0.2, "mean_forgetting_without": 0.25}
    fenced = {**REPLAY_SET, "manifest": {**REPLAY_SET["manifest"], "fence": {**cost, **means}}}
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok(fenced)
    result = run("replay", "t", "--fence", "c")
    assert service.asked("GET", "/v1/tasks/t/replay-set")[0].url.params["fence"] == "c"
    assert "15 examples that judge c are left out: 3 of the set are others" in result.stderr
    assert "+0.200 instead of +0.250" in result.stderr


def test_the_curve_says_both_meanings_of_a_ratio_and_where_more_pays_little(run, service):
    doses = [
        {"size": 10, "ratio": 0.1, "ratio_of_mix": 1 / 11, "covered": 0.6, "marginal": 0.5},
        {"size": 100, "ratio": 1.0, "ratio_of_mix": 0.5, "covered": 0.9, "marginal": 0.04},
    ]
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok({**REPLAY_SET, "curve": doses})
    shown = run("replay", "t", "--curve").stdout
    assert "0.091" in shown and "60%" in shown and "From 100 examples on" in shown
    assert json.loads(run("replay", "t", "--curve", "--json").stdout) == doses
    assert run("replay", "t", "--curve", "-o", "x").exit_code == 2


def test_what_the_draw_keeps_of_the_gain_is_said(run, service):
    manifest = {**REPLAY_SET["manifest"], "kept_gain": 0.42}
    service.answers["GET", "/v1/tasks/t/replay-set"] = ok({**REPLAY_SET, "manifest": manifest})
    assert "keeps 42% of the forecast's gain" in run("replay", "t").stderr
