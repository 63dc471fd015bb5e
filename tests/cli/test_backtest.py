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
def report(run, rows):
    options = ["--probes", 5, "--draws", 1, "--methods", "factor,popularity", "--seed", 3]
    return json.loads(run("backtest", rows, *options, "--json").stdout)


def test_options_reach_the_back_test(report):
    assert (report["n_probes"], report["draws"], report["design"], report["seed"]) == (5, 1, "mixed", 3)
    assert list(report["methods"]) == ["factor", "popularity"]


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
    service.answers["GET", "/v1/matrices/m/backtest"] = ok(report)
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
    assert result.exit_code == 1
    assert "none.npz" in result.stderr


def test_options_of_a_file_are_refused_for_a_matrix_of_the_service(run, service):
    result = run("backtest", "m", "--draws", 3)
    assert result.exit_code == 2
    assert "--draws is for .npz files" in result.stderr
