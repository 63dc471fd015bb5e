"""`forgetcast matrix create`, `task create --dataset`, and what forgetcast.toml says beside them."""

from __future__ import annotations

import json

import pytest

from forgetcast.cli.project import Project, parse_project, read_project
from forgetcast.errors import ConfigurationError
from tests.cli.world import MATRIX
from tests.client.answers import a_task, ok, page, problem

EMPTY = {**MATRIX, "n_tasks": 0, "version": 0, "fitted_version": None, "quality": None}


@pytest.fixture
def creating(service, tmp_path, monkeypatch):
    """A service with one base model that makes whatever matrix is wanted; an empty folder."""
    monkeypatch.chdir(tmp_path)
    service.answers |= {
        ("GET", "/v1/models"): page([{"id": "tiny", "revision": None}]),
        ("POST", "/v1/matrices"): ok(EMPTY, 201),
    }
    return service


def test_a_matrix_is_made_of_options(run, creating):
    result = run(
        "matrix", "create", "--id", "m", "--upstream-set", "s", "--method", "lora", "--steps", 40, "--lora-rank", 4
    )
    sent = creating.sent("POST", "/v1/matrices")
    assert (sent["id"], sent["upstream_set"], sent["model"]) == ("m", "s", "tiny")
    assert sent["recipe"]["lora"]["rank"] == 4 and sent["recipe"]["steps"] == 40
    assert sent["recipe"]["learning_rate"] == 2e-4
    assert result.stdout == "matrix m: 0 rows, version 0\n"
    assert "forgetcast seed --matrix m" in result.stderr


def test_the_setting_has_the_precision_of_the_recipe(run, creating):
    run("matrix", "create", "--upstream-set", "s", "--dtype", "float32")
    sent = creating.sent("POST", "/v1/matrices")
    assert (sent["recipe"]["dtype"], sent["setting"]["dtype"]) == ("float32", "float32")


def test_a_recipe_comes_from_a_file_and_options_change_it(run, creating, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps({"recipe": MATRIX["recipe"], "setting": {"scored": "all"}}))
    run("matrix", "create", "--upstream-set", "s", "--recipe", "recipe.json", "--steps", 3)
    sent = creating.sent("POST", "/v1/matrices")
    assert (sent["recipe"]["learning_rate"], sent["recipe"]["steps"]) == (1e-4, 3)
    assert sent["setting"]["scored"] == "all"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--learning-rate", "7"], "learning_rate"),
        (["--lora-rank", "4"], "--lora-rank goes with --method lora"),
        (["--spec", "m.json"], "--upstream-set and --spec exclude each other"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_sent(run, creating, tmp_path, options, said):
    (tmp_path / "m.json").write_text("{}")
    result = run("matrix", "create", "--upstream-set", "s", *options)
    assert result.exit_code in (1, 2) and said in result.stderr
    assert creating.asked("POST", "/v1/matrices") == []


def test_epochs_stand_instead_of_steps(run, creating, tmp_path):
    (tmp_path / "recipe.json").write_text(json.dumps(MATRIX["recipe"]))
    run("matrix", "create", "--upstream-set", "s", "--recipe", "recipe.json", "--epochs", 2)
    sent = creating.sent("POST", "/v1/matrices")["recipe"]
    assert sent["num_train_epochs"] == 2 and "steps" not in sent


def test_which_upstream_set_is_missing(run, creating):
    result = run("matrix", "create")
    assert result.exit_code == 2 and "--upstream-set is missing, and no forgetcast.toml" in result.stderr


def test_several_base_models_are_named(run, creating):
    creating.answers["GET", "/v1/models"] = page([{"id": "a", "revision": None}, {"id": "b", "revision": None}])
    result = run("matrix", "create", "--upstream-set", "s")
    assert result.exit_code == 2 and "--model: a, b" in result.stderr


def test_what_is_not_named_comes_from_forgetcast_toml(run, creating, tmp_path, monkeypatch):
    project = Project(model="own", upstream_set="mine", matrix="m", recipe=MATRIX["recipe"], setting={"scored": "all"})
    (tmp_path / "forgetcast.toml").write_text(project.written())
    (tmp_path / "below").mkdir()
    monkeypatch.chdir(tmp_path / "below")
    run("matrix", "create", "--batch-size", 2)
    sent = creating.sent("POST", "/v1/matrices")
    assert (sent["id"], sent["model"], sent["upstream_set"]) == ("m", "own", "mine")
    assert (sent["recipe"]["batch_size"], sent["recipe"]["max_tokens"]) == (2, 64)
    assert sent["setting"]["scored"] == "all"


def test_a_task_is_registered_with_its_data_to_become_a_known_row(run, creating, tmp_path):
    (tmp_path / "past.jsonl").write_text('{"text": "one"}\n')
    creating.answers["POST", "/v1/tasks"] = ok(a_task(), 202)
    result = run("task", "create", "--dataset", "past.jsonl", "--full", "--family", "support")
    sent = creating.sent("POST", "/v1/tasks")
    assert (sent["measure"], sent["family"], sent["name"]) == ("full", "support", "past.jsonl")
    assert "forgetcast task wait t" in result.stderr


def test_the_matrix_of_forgetcast_toml_is_that_of_forecasts(run, creating, tmp_path):
    creating.answers["GET", "/v1/matrices/theirs"] = problem("matrix_not_found", 404)
    (tmp_path / "forgetcast.toml").write_text('matrix = "theirs"\n')
    (tmp_path / "task.jsonl").write_text('{"text": "one"}\n')
    assert run("forecast", "task.jsonl").exit_code == 1
    assert len(creating.asked("GET", "/v1/matrices/theirs")) == 1


def test_a_project_is_written_as_it_is_read(tmp_path):
    lora = {**MATRIX["recipe"], "method": "lora", "lora": {"rank": 4, "alpha": 8.0, "target_modules": ["q", "k"]}}
    project = Project(service="http://x", model="m", matrix="a", recipe=lora, setting={"scored": "all"})
    file = tmp_path / "forgetcast.toml"
    file.write_text(project.written())
    found = parse_project(file)
    assert (found.recipe, found.setting, found.service, found.upstream_set) == (lora, project.setting, "http://x", None)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("matrix = ", "is not TOML"),
        ('matrx = "m"', "did you mean 'matrix'"),
        ("matrix = 3", "matrix must be a text"),
        ('recipe = "full"', "recipe must be a table"),
    ],
)
def test_a_project_that_cannot_be_read_names_the_entry(tmp_path, content, said):
    (tmp_path / "forgetcast.toml").write_text(content)
    with pytest.raises(ConfigurationError, match=said):
        read_project(tmp_path)


def test_a_key_of_the_environment_is_not_sent_to_a_url_that_a_file_names(run, service, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FORGETCAST_API_KEY", "fck_secret")
    (tmp_path / "forgetcast.toml").write_text('service = "https://elsewhere.example"\n')
    run("matrix", "ls")
    (asked,) = service.asked("GET", "/v1/matrices")
    assert asked.url.host == "elsewhere.example" and "Authorization" not in asked.headers
    monkeypatch.setenv("FORGETCAST_URL", "https://own.example")
    run("matrix", "ls")
    assert service.requests[-1].url.host == "own.example"
    assert service.requests[-1].headers["Authorization"] == "Bearer fck_secret"
