"""`forgetcast analyse` on a file and on a matrix of the service."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.client.answers import ok


@pytest.fixture
def rows(tmp_path):
    generator = np.random.default_rng(0)
    forgetting = generator.standard_normal((8, 1)) * generator.standard_normal(40) + generator.standard_normal(40)
    forgetting[7] = forgetting[2] + 0.1
    path = tmp_path / "rows.npz"
    tasks = [f"task-{i}" for i in range(7)] + ["again"]
    domains = ["poems", "code"] * 20
    np.savez(path, forgetting=forgetting, task=tasks, domain=domains, repeat_of=[""] * 7 + ["task-2"])
    return path


def test_rank_noise_and_extremes_are_printed(run, rows):
    shown = run("analyse", rows).stdout
    assert "7 tasks by 40 examples, 100% measured" in shown
    assert "rank 1" in shown and "multiplicative" in shown
    assert "noise of a cell 0.0707 nats per token, of a row mean 0.0707, from 1 task measured twice" in shown
    assert "domains        " in shown and "tasks with most forgetting: task-" in shown


def test_without_a_repeat_the_noise_is_bounded_and_called_so(run, tmp_path):
    np.savez(tmp_path / "rows.npz", forgetting=np.random.default_rng(0).normal(0.1, 0.1, (8, 40)))
    lines = run("analyse", tmp_path / "rows.npz").stdout.splitlines()
    assert any(line.split() == ["without", "noise,", "at", "least", "-"] for line in lines)
    (said,) = [line for line in lines if line.startswith("noise of a cell: at most 0.")]
    assert "measure a task twice" in said


def test_a_newer_services_further_figures_are_left_out(run, service, rows):
    found = json.loads(run("analyse", rows, "--json").stdout)
    found["noise"]["a figure of tomorrow"] = 1.0
    newer = {**found, "matrix": "m", "matrix_version": 4, "another": []}
    service.answers["GET", "/v1/matrices/m/analysis"] = ok(newer)
    assert run("analyse", "m").stdout == run("analyse", rows).stdout


def test_an_answer_of_another_form_is_one_line(run, service):
    service.answers["GET", "/v1/matrices/m/analysis"] = ok({"n_tasks": "several"})
    result = run("analyse", "m")
    assert result.exit_code == 1
    assert "compare the versions of client and service" in result.stderr


def test_cells_and_rows_beyond_belief_are_named(run, tmp_path):
    forgetting = np.random.default_rng(0).normal(0.1, 0.1, (8, 40))
    np.savez(tmp_path / "tame.npz", forgetting=forgetting)
    assert "beyond belief" not in run("analyse", tmp_path / "tame.npz").stdout
    forgetting[2, 7], forgetting[5] = 50.0, forgetting[5] + 9.0
    np.savez(tmp_path / "wild.npz", forgetting=forgetting, task=[f"task-{i}" for i in range(8)])
    shown = run("analyse", tmp_path / "wild.npz").stdout
    assert "beyond belief: 1 rows, 1 cells" in shown
    assert "row of task-5: +8.96 nats per token" in shown and "task-2, 7: +50 nats per token" in shown


def test_a_matrix_of_the_service_is_described_alike(run, service, rows):
    found = json.loads(run("analyse", rows, "--json").stdout)
    of = {"matrix": "m", "matrix_version": 4}
    service.answers["GET", "/v1/matrices/m/analysis"] = ok({**found, **of})
    assert run("analyse", "m").stdout == run("analyse", rows).stdout
    assert json.loads(run("analyse", "m", "--json").stdout) == {**found, **of}


def test_a_file_that_is_not_there_is_one_line(run, tmp_path):
    result = run("analyse", tmp_path / "none.npz")
    assert result.exit_code == 2
    assert "does not exist" in result.stderr.splitlines()[-1]
