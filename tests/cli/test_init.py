"""`forgetcast init`: by options, by questions, and what it writes."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import NamedTuple

import httpx2
import pytest

from forgetcast.cli.project import parse_project
from service.models import Models
from tests.client.answers import problem


class Found(NamedTuple):
    """As in workers.attempt.checks.examine, which needs torch."""

    name: str
    state: str
    said: str
    next: str = ""


@pytest.fixture
def here(service, tmp_path, monkeypatch):
    """An empty folder beside a model's, on a machine without a GPU."""
    monkeypatch.setenv("FORGETCAST_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("FORGETCAST_MODELS", raising=False)
    (tmp_path / "models" / "My Model 7B").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    finds(monkeypatch, Found("precision", "ok", "no GPU here: float32 on the CPU; bfloat16 is slower"))
    service.answers["GET", "/v1/upstream-sets/My-Model-7B-upstream"] = problem("upstream_set_not_found", 404)
    return tmp_path


def finds(monkeypatch, *found):
    module = SimpleNamespace(examine=lambda folder: iter(found))
    monkeypatch.setitem(sys.modules, "workers.attempt.checks.examine", module)


def test_a_folder_with_a_model_is_all_that_is_needed(run, here):
    result = run("init", "--model", here / "models" / "My Model 7B")
    assert result.exit_code == 0, result.stderr
    project = parse_project(here / "work" / "forgetcast.toml")
    assert (project.model, project.upstream_set, project.matrix) == (
        "My-Model-7B",
        "My-Model-7B-upstream",
        "My-Model-7B",
    )
    assert (project.recipe["dtype"], project.setting["dtype"]) == ("float32", "float32")
    assert "My-Model-7B" in Models.read(here / "state" / "models.toml").entries
    assert "next: `forgetcast upstream sample FILE --by COLUMN`" in result.stderr


def test_a_model_is_named_once(run, here):
    for _ in range(2):
        run("init", "--model", here / "models" / "My Model 7B", "--again")
    assert list(Models.read(here / "state" / "models.toml").entries) == ["My-Model-7B"]


def test_questions_are_answered_on_a_terminal(run, here):
    answers = [str(here / "models" / "My Model 7B"), "lora", "0.0005", "", "4", "", "mine", ""]
    result = run("init", "--ask", input="\n".join(answers) + "\n")
    assert result.exit_code == 0, result.stderr
    project = parse_project(here / "work" / "forgetcast.toml")
    assert (project.recipe["method"], project.recipe["learning_rate"], project.recipe["steps"]) == ("lora", 0.0005, 100)
    assert (project.recipe["batch_size"], project.upstream_set) == (4, "mine")


def test_in_a_script_what_is_missing_is_named(run, here):
    result = run("init", "--no-ask")
    assert result.exit_code == 2 and "--model is missing" in result.stderr


def test_a_model_that_cannot_be_measured_is_refused(run, here, monkeypatch):
    finds(monkeypatch, Found("model", "fail", "weights are missing", "fetch them"))
    result = run("init", "--model", here / "models" / "My Model 7B")
    assert result.exit_code == 1 and "weights are missing" in result.stderr
    assert not (here / "work" / "forgetcast.toml").exists()
    assert Models.read(here / "state" / "models.toml").entries == {}


def test_where_full_fine_tuning_does_not_fit_lora_is_taken(run, here, monkeypatch):
    finds(monkeypatch, Found("memory", "warn", "full fine-tuning takes about 90 GB", "use LoRA"))
    run("init", "--model", here / "models" / "My Model 7B")
    assert parse_project(here / "work" / "forgetcast.toml").recipe["method"] == "lora"


def test_a_file_that_is_there_stays(run, here):
    (here / "work" / "forgetcast.toml").write_text('matrix = "mine"\n')
    result = run("init", "--model", here / "models" / "My Model 7B")
    assert result.exit_code == 1 and "--again" in result.stderr
    assert parse_project(here / "work" / "forgetcast.toml").matrix == "mine"


def test_a_model_that_is_nowhere(run, here):
    result = run("init", "--model", "nowhere", "--no-ask")
    assert result.exit_code == 1 and "'nowhere' is no folder" in result.stderr


def test_a_set_that_is_there_leads_to_seed_and_no_service_to_up(run, here, service):
    result = run("init", "--model", here / "models" / "My Model 7B", "--upstream-set", "s")
    assert "next: `forgetcast seed`" in result.stderr
    service.answers["GET", "/v1/upstream-sets/s"] = httpx2.ConnectError("refused")
    result = run("init", "new", "--model", here / "models" / "My Model 7B", "--upstream-set", "s")
    assert "next: in new, `forgetcast up` in another terminal" in result.stderr
