"""`forgetcast upstream sample` and `generate`: written, sent, and what comes next."""

from __future__ import annotations

import json
import sys
from types import SimpleNamespace

import httpx2
import pytest

from tests.cli.world import UPSTREAM_SET
from tests.client.answers import ok


@pytest.fixture
def mix(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    texts = [f"{number} " + " ".join(f"w{number * 13 + place}" for place in range(15)) for number in range(40)]
    lines = [{"text": text, "source": "web" if number % 4 else "books"} for number, text in enumerate(texts)]
    (tmp_path / "mix.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return "mix.jsonl"


def test_a_sample_is_written_sent_and_leads_on(run, service, mix, tmp_path):
    service.answers["PUT", "/v1/upstream-sets/s/examples"] = ok(UPSTREAM_SET)
    result = run("upstream", "sample", mix, "--size", 20, "--by", "source", "--id", "s")
    assert result.exit_code == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "upstream.jsonl").read_text().splitlines()]
    assert len(lines) == 20 and {line["domain"] for line in lines} == {"web", "books"}
    (sent,) = service.asked("PUT", "/v1/upstream-sets/s/examples")
    assert sent.content == (tmp_path / "upstream.jsonl").read_bytes()
    shown = [line.split() for line in result.stdout.splitlines()]
    assert ["web", "30", "15", "2", "16"] in shown or ["web", "30", "15", "1", "16"] in shown
    assert "next: `forgetcast init --upstream-set s" in result.stderr


def test_forgetcast_toml_names_the_set(run, service, mix, tmp_path):
    (tmp_path / "forgetcast.toml").write_text('upstream_set = "s"\nmodel = "tiny"\nmatrix = "m"\n')
    service.answers["PUT", "/v1/upstream-sets/s/examples"] = ok(UPSTREAM_SET)
    result = run("upstream", "sample", mix, "--size", 8)
    assert len(service.asked("PUT", "/v1/upstream-sets/s/examples")) == 1
    assert "forgetcast seed" in result.stderr.splitlines()[-1]


def test_without_a_service_the_file_is_there_and_how_to_send_it_is_said(run, service, mix, tmp_path):
    service.answers["GET", "/v1/upstream-sets/s"] = httpx2.ConnectError("refused")
    result = run("upstream", "sample", mix, "--id", "s")
    assert result.exit_code == 0 and (tmp_path / "upstream.jsonl").exists()
    assert "forgetcast up" in result.stderr and "upstream import upstream.jsonl --id s" in result.stderr


def test_numbers_as_json(run, service, mix):
    said = json.loads(run("upstream", "sample", mix, "--size", 8, "--no-send", "--json").stdout)
    assert (said["n_examples"], said["n_read"], service.requests) == (8, {"mix": 40}, [])


@pytest.mark.parametrize("options", [["--prompt-column", "a"], ["--text-column", "a", "--messages-column", "b"]])
def test_columns_that_do_not_go_together(run, service, mix, options):
    assert run("upstream", "sample", mix, *options).exit_code == 2


def test_a_file_that_is_not_there_is_one_line(run, service, tmp_path):
    result = run("upstream", "sample", tmp_path / "no file.jsonl")
    assert result.exit_code == 1 and result.stderr.count("\n") == 1


def test_answers_of_the_model_are_a_set(run, service, tmp_path, monkeypatch):
    asked: dict[str, object] = {}

    def answers(folder, *, size, tokens, seed, on_progress):
        asked.update(folder=folder, size=size)
        on_progress(1, 1)
        turns = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "an answer"}]
        yield {"id": "a", "messages": turns, "domain": "d", "held_out": False}

    monkeypatch.setitem(sys.modules, "bundled.generate", SimpleNamespace(answers=answers))  # which needs torch
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / "forgetcast.toml").write_text('model = "model"\n')
    result = run("upstream", "generate", "--size", 20, "--no-send")
    assert result.exit_code == 0, result.stderr
    assert (str(asked["folder"]), asked["size"]) == ("model", 20)
    assert json.loads((tmp_path / "upstream.jsonl").read_text())["messages"][1]["content"] == "an answer"
