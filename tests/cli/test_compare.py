"""`forgetcast compare`: two tasks of a service, or two files of cells."""

from __future__ import annotations

import json

import httpx2
import pytest

from tests.client.answers import a_task, ok, problem


@pytest.fixture
def files(tmp_path):
    def write(name, values, domain="code"):
        path = tmp_path / name
        lines = [{"example_id": f"e{k}", "forgetting": value, "domain": domain} for k, value in enumerate(values)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        return path

    return write


def row_of(values, measured):
    lines = [
        {"example_id": f"e{k}", "domain": "code", "forgetting": value, "low": value, "high": value, "measured": known}
        | {"calibrated": True, "promised": True}
        for k, (value, known) in enumerate(zip(values, measured, strict=True))
    ]
    return httpx2.Response(200, text="".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def tasks(service):
    for name, values in (("a", [0.1] * 8), ("b", [0.3] * 8)):
        service.answers["GET", f"/v1/tasks/{name}"] = ok(a_task(id=name))
        service.answers["GET", f"/v1/tasks/{name}/forgetting.jsonl"] = row_of(values, [True] * 7 + [False])
    service.answers["GET", "/v1/matrices/m/analysis"] = problem("matrix_not_found", 404)
    return service


def test_two_files_are_compared_without_a_service(run, service, files):
    first, second = files("a.jsonl", [0.1] * 40), files("b.jsonl", [0.1 + 0.01 * k for k in range(40)])
    result = run("compare", first, second, "--noise-floor", 0.055)
    assert (result.exit_code, service.requests) == (0, [])
    assert "regression" in result.stdout.splitlines()[0]
    assert "40 examples measured of both: 34 worse, 0 better, 6 unchanged" in result.stdout
    assert "would have been seen four times out of five" in result.stdout
    assert "e39 (code): +0.100 -> +0.490" in result.stdout


def test_the_same_figures_as_json(run, files):
    result = run("compare", files("a.jsonl", [0.0] * 10), files("b.jsonl", [0.0] * 10), "--json")
    said = json.loads(result.stdout)
    assert (said["object"], said["n"], said["found"], said["p"]) == ("comparison", 10, "no difference seen", 1.0)


def test_quiet_prints_the_worse_examples_alone(run, files):
    result = run("compare", files("a.jsonl", [0.0, 0.0]), files("b.jsonl", [0.5, -0.5]), "-q")
    assert result.stdout == "e0\n"


def test_without_a_noise_floor_it_says_that_every_difference_counts(run, files):
    result = run("compare", files("a.jsonl", [0.0] * 6), files("b.jsonl", [0.1] * 6))
    assert "no noise floor is known" in result.stdout


def test_of_tasks_only_what_was_measured_counts(run, tasks):
    result = run("compare", "a", "b")
    assert result.exit_code == 0, result.stderr
    assert "7 examples measured of both: 7 worse" in result.stdout
    assert "how noisy a cell is nobody says" in result.stderr


def test_a_task_and_a_file_go_together(run, tasks, files):
    result = run("compare", "a", files("b.jsonl", [0.1] * 8))
    assert "7 examples measured of both: 0 worse, 0 better, 7 unchanged" in result.stdout
    assert "measured of one of the two alone, and left out: 1 examples" in result.stderr


def test_nothing_in_common_says_what_to_measure(run, files, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"example_id": "x", "forgetting": 1}\n')
    result = run("compare", files("a.jsonl", [0.1]), other)
    assert result.exit_code == 1
    assert "no example was measured of both" in result.stderr


@pytest.mark.parametrize("line", ['{"example_id": "e0"}', "no json", '{"example_id": "e0", "forgetting": NaN}'])
def test_a_line_that_is_no_cell_is_named(run, files, tmp_path, line):
    wrong = tmp_path / "wrong.jsonl"
    wrong.write_text(line + "\n")
    result = run("compare", files("a.jsonl", [0.1]), wrong)
    assert result.exit_code == 1
    assert "line 1" in result.stderr


def test_an_unknown_task_and_a_file_that_is_not_there(run, service):
    service.answers["GET", "/v1/tasks/nobody"] = problem("task_not_found", 404)
    assert run("compare", "nobody", "nobody").exit_code == 1
    assert run("compare", "nothing.jsonl", "nothing.jsonl").exit_code == 2
