"""`forgetcast measure`: a worker measures more, or cells of an own run are posted."""

from __future__ import annotations

import json

import click.testing
import httpx2
import pytest

from forgetcast.cli import main
from tests.cli.world import FORECAST, MATRIX
from tests.client.answers import a_job, a_task, ok


@pytest.fixture
def ordering(service):
    service.answers["POST", "/v1/tasks/t/jobs"] = ok(a_job("queued"), 202)
    return service


@pytest.fixture
def posting(service):
    service.answers["POST", "/v1/tasks/t/measurements"] = ok(FORECAST)
    return service


@pytest.fixture
def cells(tmp_path):
    path = tmp_path / "cells.jsonl"
    path.write_text(
        '{"example_id": "poems-01", "before": 1.5, "after": 1.75}\n\n{"example_id": "é", "forgetting": -0.1}\n'
    )
    return path


def test_probes_are_ordered_and_waited_for(run, ordering):
    result = run("measure", "t", "--size", 60, "--probe-seed", 2)
    sent = ordering.sent("POST", "/v1/tasks/t/jobs")
    assert (sent["measure"], sent["size"], sent["probe_seed"]) == ("probe", 60, 2)
    assert result.stdout == "t: succeeded, 30 examples measured\n"
    assert "fine-tune: 3 of 12" in result.stderr


def test_everything_is_ordered_without_waiting(run, ordering):
    result = run("measure", "t", "--full", "--no-wait")
    assert ordering.sent("POST", "/v1/tasks/t/jobs")["measure"] == "full"
    assert result.stdout == "job_1\n"
    assert ordering.asked("GET", "/v1/jobs/job_1") == []


def test_examples_are_ordered_by_id_from_another_command(ordering):
    result = click.testing.CliRunner().invoke(main, ["measure", "t", "--examples", "-", "-q"], input="é 1\ncode-01\n")
    assert (result.exit_code, result.stdout) == (0, "job_1\n")
    sent = ordering.sent("POST", "/v1/tasks/t/jobs")
    assert (sent["measure"], sent["examples"]) == ("examples", ["é 1", "code-01"])


@pytest.mark.parametrize("named", ["-", "ids.txt"])
def test_no_ids_at_all_order_nothing(ordering, tmp_path, monkeypatch, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "ids.txt").write_text("\n")
    result = click.testing.CliRunner().invoke(main, ["measure", "t", "--examples", named], input="\n")
    assert (result.exit_code, ordering.requests) == (1, [])
    assert f"{'stdin' if named == '-' else named} is empty" in result.stderr


@pytest.mark.parametrize("options", [[], ["--full", "--size", 3]])
def test_one_way_is_to_be_chosen(run, service, options):
    result = run("measure", "t", *options)
    assert result.exit_code == 2
    assert "--size, --full, --examples, --until-conclusive, --from" in result.stderr
    assert service.requests == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--full", "--design", "optimal"], "--design goes with --size"),
        (["--size", 3, "--source", "x"], "--source goes with --from"),
        (["--full", "--seed", 0], "--seed goes with --from"),
    ],
)
def test_an_option_that_would_be_left_aside_is_refused(run, service, options, said):
    result = run("measure", "t", *options)
    assert (result.exit_code, service.requests) == (2, [])
    assert said in result.stderr


def test_own_cells_are_posted_under_the_recipe_of_the_matrix(run, posting, cells):
    result = run("measure", "t", "--from", cells, "--source", "run 7", "--seed", 5, "--chosen")
    assert result.exit_code == 0
    sent = posting.sent("POST", "/v1/tasks/t/measurements")
    assert sent["recipe"]["steps"] == MATRIX["recipe"]["steps"]
    assert (sent["source"], sent["seed"], sent["probes_at_random"]) == ("run 7", 5, False)
    assert sent["cells"] == [
        {"example_id": "poems-01", "before": 1.5, "after": 1.75},
        {"example_id": "é", "forgetting": -0.1},
    ]
    assert result.stdout == "t: 1 examples measured\n"
    assert "forgetcast forgotten t" in result.stderr and "warning: unlike_known" in result.stderr


def test_own_cells_are_stored_also_while_there_is_no_forecast(run, posting, cells):
    stored = {**a_task(), "n_measured": 2, "warnings": ["fit_pending: the matrix 'm' has no fit yet"]}
    posting.answers["POST", "/v1/tasks/t/measurements"] = ok(stored, 202)
    result = run("measure", "t", "--from", cells)
    assert (result.exit_code, result.stdout) == (0, "t: 2 examples measured\n")
    assert "warning: fit_pending" in result.stderr


def test_an_order_that_nobody_takes_is_warned_of(run, ordering):
    ordered = {**a_job("queued"), "warnings": ["no_worker: no worker was seen within one lease"]}
    ordering.answers["POST", "/v1/tasks/t/jobs"] = ok(ordered, 202)
    assert "warning: no_worker: " in run("measure", "t", "--full", "--no-wait").stderr
    assert run("measure", "t", "--full", "--no-wait", "-q").stderr == ""


def test_own_cells_of_another_recipe_say_so(run, posting, cells, tmp_path):
    spec = tmp_path / "run.json"
    spec.write_text(json.dumps({"recipe": {**MATRIX["recipe"], "steps": 1}}))
    assert run("measure", "t", "--from", cells, "--spec", spec).exit_code == 0
    assert posting.sent("POST", "/v1/tasks/t/measurements")["recipe"]["steps"] == 1


def test_the_definition_of_a_matrix_says_recipe_and_setting_too(run, posting, cells, tmp_path):
    spec = tmp_path / "matrix.json"
    posting.answers["GET", "/v1/matrices/m"] = ok({**MATRIX, "recipe": {**MATRIX["recipe"], "steps": 1}})
    posting.answers["GET", "/v1/matrices/m/rows.npy"] = httpx2.Response(200, content=b"rows")
    assert run("matrix", "export", "m", "-o", tmp_path / "rows.npy", "--spec", spec).exit_code == 0
    posting.answers["GET", "/v1/matrices/m"] = ok(MATRIX)
    assert run("measure", "t", "--from", cells, "--spec", spec).exit_code == 0
    assert posting.sent("POST", "/v1/tasks/t/measurements")["recipe"]["steps"] == 1


def test_a_misspelt_field_of_an_own_run_is_named(run, posting, cells, tmp_path):
    (tmp_path / "run.json").write_text('{"recipes": {}}')
    result = run("measure", "t", "--from", cells, "--spec", tmp_path / "run.json")
    assert result.exit_code == 1
    assert "recipes: " in result.stderr


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "line 2: the cell is not JSON"),
        ('{"example_id": "a"}', "line 2: the cell: a cell has `before` and `after`, or `forgetting`"),
        ('{"example_id": "a", "forgetting": "x"}', "line 2: forgetting: "),
    ],
)
def test_a_cell_that_cannot_be_used_is_named_and_nothing_is_sent(run, posting, cells, line, said):
    cells.write_text(f'{{"example_id": "b", "forgetting": 1}}\n{line}\n')
    result = run("measure", "t", "--from", cells)
    assert (result.exit_code, posting.requests) == (1, [])
    assert said in result.stderr and len(result.stderr.splitlines()) == 1


def test_own_cells_come_from_another_command(posting, cells):
    result = click.testing.CliRunner().invoke(main, ["measure", "t", "--from", "-"], input=cells.read_bytes())
    assert result.exit_code == 0
    sent = posting.sent("POST", "/v1/tasks/t/measurements")
    assert [cell["example_id"] for cell in sent["cells"]] == ["poems-01", "é"]


@pytest.mark.parametrize(("given", "said"), [("", "stdin is empty"), ("{", "stdin, line 1: ")])
def test_stdin_without_cells_is_not_sent(posting, given, said):
    result = click.testing.CliRunner().invoke(main, ["measure", "t", "--from", "-"], input=given)
    assert (result.exit_code, posting.requests) == (1, [])
    assert said in result.stderr


def test_a_file_without_cells_is_not_sent(run, posting, cells):
    cells.write_text("")
    assert "is empty" in run("measure", "t", "--from", cells).stderr
    assert posting.requests == []


def test_ctrl_c_leaves_the_job_running(run, ordering):
    ordering.answers["GET", "/v1/jobs/job_1"] = ok(a_job("running"))
    ordering.answers["GET", "/v1/jobs/job_1/events"] = KeyboardInterrupt()
    result = run("measure", "t", "--full")
    assert result.exit_code == 130
    assert "forgetcast task cancel t" in result.stderr


def test_a_task_of_its_own_measurements_is_named_quietly(run, posting, cells):
    posting.answers["GET", "/v1/tasks/t"] = ok(a_task(job=None))
    assert run("measure", "t", "--from", cells, "-q").stdout == "t\n"
    assert json.loads(run("measure", "t", "--from", cells, "--json").stdout)["n_measured"] == 1


def test_a_task_whose_data_stay_here_is_registered(run, service):
    service.answers["POST", "/v1/tasks"] = ok(a_task("my-run", job=None), 201)
    result = run("task", "create", "--id", "my-run", "--n-examples", 5000)
    assert result.stdout == "my-run\n"
    assert "forgetcast measure my-run --from" in result.stderr
    sent = service.sent("POST", "/v1/tasks")
    assert (sent["id"], sent["matrix"], sent["measure"], sent["n_examples"]) == ("my-run", "m", "none", 5000)
