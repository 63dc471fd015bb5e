"""`forgetcast backtest` on a file and on a matrix of the service."""

from __future__ import annotations

import json

import numpy as np
import pytest

import forgetcast.cli.backtest
from tests.client.answers import ok


@pytest.fixture
def rows(tmp_path):
    generator = np.random.default_rng(0)
    forgetting = generator.standard_normal((6, 1)) * generator.standard_normal(40) + generator.standard_normal(40)
    path = tmp_path / "rows.npz"
    np.savez(path, forgetting=forgetting, task=[f"task-{i}" for i in range(6)])
    return path


@pytest.fixture
def families(rows, tmp_path):
    with np.load(rows) as arrays:
        np.savez(
            tmp_path / "families.npz",
            **arrays,
            family=["a", "a", "b", "b", "c", "c"],
            domain=["poems", "code"] * 20,
        )
    return tmp_path / "families.npz"


@pytest.fixture
def report(run, rows):
    options = ["--probes", 5, "--draws", 1, "--methods", "factor,popularity", "--seed", 3]
    return json.loads(run("backtest", rows, *options, "--json").stdout)


def test_options_reach_the_back_test(report):
    assert (report["n_probes"], report["draws"], report["design"], report["seed"]) == (5, 1, "mixed", 3)
    assert list(report["methods"]) == ["factor", "popularity"]


def test_families_are_left_out_where_they_are_known_and_tasks_beside_them(run, families):
    options = ["--probes", 5, "--draws", 1, "--methods", "blend,popularity,mf"]
    report = json.loads(run("backtest", families, *options, "--json").stdout)
    assert report["left_out"] == "families"
    assert set(report["tasks_alone"]) == {"blend", "popularity", "mf"}
    lines = [line.split() for line in run("backtest", families, *options).stdout.splitlines()]
    (errors, coverage) = (place for place, line in enumerate(lines) if line[:2] == ["blend", "(default)"])
    assert lines[errors][2] == lines[coverage][2] == "families"
    assert lines[errors + 1][0] == lines[coverage + 1][0] == "tasks"
    figures = report["methods"]["blend"]
    assert f"{figures['spearman']:.3f}" == lines[errors][-1]
    assert [f"{figures[name]:.3f}" for name in ("coverage_mean", "top_coverage")] == [
        lines[coverage][3],
        lines[coverage][5],
    ]
    assert f"{figures['domain_coverage']:.3f}" in lines[coverage]
    assert [line[0] for line in lines if line].count("mf") == 1, "a method without intervals covers nothing"


@pytest.mark.parametrize("leave_out", ["families", "tasks"])
def test_what_is_left_out_can_be_chosen(run, families, leave_out):
    options = ["--probes", 5, "--draws", 1, "--methods", "popularity", "--leave-out", leave_out, "--json"]
    report = json.loads(run("backtest", families, *options).stdout)
    assert (report["left_out"], report["tasks_alone"]) == (leave_out, None)


def test_families_that_are_not_known_cannot_be_left_out(run, rows):
    result = run("backtest", rows, "--leave-out", "families")
    assert result.exit_code == 1
    assert "leave tasks out" in result.stderr


def test_the_recall_that_a_reader_may_expect_is_one_sentence(run, rows, report):
    shown = run("backtest", rows, "--probes", 5, "--draws", 1, "--methods", "factor,popularity", "--seed", 3).stdout
    own, popularity = (round(20 * report["methods"][name]["recall_5pct"]) for name in ("factor", "popularity"))
    assert f"of 20 examples on a list of the 5% highest forecasts, about {own} (by popularity {popularity})" in shown


def test_all_methods_are_asked_for_by_a_word(run, rows):
    options = ["--probes", 5, "--draws", 1, "--test", "4:", "--json"]
    named, unnamed = (
        json.loads(run("backtest", rows, *options, *methods).stdout) for methods in (["--methods", "all"], [])
    )
    assert (
        list(named["methods"])
        == ["blend", "local", "factor", "popularity", "additive", "knn", "mf"]
        == list(unnamed["methods"])
    )
    assert named["methods"]["knn"]["coverage_mean"] is None


def test_the_task_that_carries_the_error_is_named(run, tmp_path):
    forgetting = np.random.default_rng(0).normal(0, 0.1, (6, 40))
    forgetting[4] *= 100
    np.savez(tmp_path / "rows.npz", forgetting=forgetting)
    options = ["--probes", 5, "--draws", 1, "--train", ":3", "--test", "3:", "--methods", "factor,mf"]
    shown = run("backtest", tmp_path / "rows.npz", *options).stdout
    assert "100% of the squared error is that of task-4" in shown
    assert "of that of mf" in shown


def test_work_that_takes_long_says_how_far_it_is(run, rows, monkeypatch):
    monkeypatch.setattr(forgetcast.cli.backtest, "NOTE_EVERY", 0.0)
    result = run("backtest", rows, "--methods", "factor,popularity", "--draws", 1, "--json")
    assert "12 of 12" in result.stderr
    json.loads(result.stdout)


def test_the_table_has_a_line_a_method_and_names_what_was_lost(run, service, report):
    report["methods"]["factor"]["tasks"][2]["spearman"] = -1.0
    service.answers["GET", "/v1/matrices/m/backtest"] = ok({**report, "matrix": "m", "matrix_version": 4})
    shown = run("backtest", "m").stdout
    assert "(default)" not in shown
    assert "factor is better than popularity in Spearman on" in shown
    assert "not on" in shown and "task-2 (-1.000, " in shown


@pytest.mark.parametrize("methods", ["popularity", "popularity,blend"])
def test_only_the_default_method_is_called_that(run, rows, methods):
    shown = run("backtest", rows, "--probes", 5, "--draws", 1, "--methods", methods, "--test", "4:").stdout
    assert "popularity (default)" not in shown
    assert ("blend (default)" in shown) == ("blend" in methods)


def test_more_probes_than_there_are_examples_are_not_claimed(run, rows):
    shown = run("backtest", rows, "--probes", 1000, "--draws", 1, "--methods", "popularity").stdout
    assert "each forecast from 20 probes" in shown


def test_rows_to_train_on_and_to_forecast_can_be_chosen(run, rows):
    options = ["--probes", 5, "--draws", 1, "--methods", "popularity", "--train", "0:3,4", "--test", "5", "--json"]
    tasks = json.loads(run("backtest", rows, *options).stdout)["methods"]["popularity"]["tasks"]
    assert [task["task"] for task in tasks] == ["task-5"]


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--train", "0:99", "they run from 0 to 5"),
        ("--test", "0,0", "none may be named twice"),
        ("--methods", "magic", "No completion method is called 'magic'"),
    ],
)
def test_what_the_file_does_not_have_is_one_line(run, rows, option, value, said):
    result = run("backtest", rows, option, value)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_file_that_is_not_there_is_one_line(run, tmp_path):
    result = run("backtest", tmp_path / "none.npz")
    assert result.exit_code == 2
    assert "none.npz" in result.stderr


def test_options_of_a_file_are_refused_for_a_matrix_of_the_service(run, service):
    result = run("backtest", "m", "--draws", 3)
    assert result.exit_code == 2
    assert "--draws is for .npz files" in result.stderr
    assert "--leave-out is for .npz files" in run("backtest", "m", "--leave-out", "tasks").stderr


@pytest.mark.parametrize("command", ["backtest", "analyse", "probe-set"])
def test_a_file_that_is_not_there_is_a_mistake_in_the_call(run, tmp_path, command):
    result = run(command, tmp_path / "absent.npz")
    assert result.exit_code == 2
    assert "absent.npz" in result.stderr and "does not exist" in result.stderr
