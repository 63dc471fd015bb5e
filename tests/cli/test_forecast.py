"""`forgetcast forecast`: from a file to the report."""

from __future__ import annotations

import json

import pytest

from tests.cli.world import FORECAST, MATRIX, UPSTREAM_SET
from tests.client.answers import a_job, a_task, ok, page, problem


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "task.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    return path


def test_the_report_says_what_is_forgotten_and_what_that_rests_on(run, service, file):
    result = run("forecast", file)
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert "1 poems-01 poems The rain falls softly on the roof of the old… +0.400 +0.350 to +0.450 predicted" in lines
    assert "2 poems-02 poems Only a text. +0.250 measured" in lines
    assert "3 code-01 code print(1) -0.010 -0.060 to +0.040 predicted, not calibrated" in lines
    assert "poems +0.200 +0.100 to +0.300 2 1" in lines
    assert "all +0.100 +0.050 to +0.150 3 1 +0.200, -0.100 to +0.500" in lines
    assert any(line.startswith("M = 40 known tasks, N = 3 upstream examples, S = 1 ") for line in lines)
    assert "method blend on matrix m, version 4" in lines
    assert "with their families 0.840 0.520 0.081 90% 88% 91% -" in lines
    assert "alone 0.870 0.580 0.075 91% - - -" in lines
    assert "by popularity 0.710 0.310 0.102" in lines
    assert "queued 2.0 s, load the model 1.5 s, fine-tune 20.0 s, in all 30.0 s" in lines


def test_how_far_to_trust_it_is_said_before_anything_else(run, service, file):
    lines = [line.strip() for line in run("forecast", file).stdout.splitlines() if line]
    assert lines[:5] == [
        "How far to trust this",
        "warning: unlike_known: this task forgets unlike all known ones; only what was measured can be trusted",
        "known tasks left out with their whole families were forecast from 30 probes with Spearman 0.84 (popularity "
        "0.71); 90% intervals held 90% of their cells and 88% of the 5% highest forecasts",
        "of 20 examples on a list of the 5% highest forecasts, about 10 (by popularity 6) are truly among the 5% "
        "forgotten most",
        "Most forgotten under t (nats per token, 90% interval)",
    ]


def test_a_matrix_that_is_not_back_tested_yet_says_so(run, service, file):
    service.answers["GET", "/v1/tasks/t/forecast"] = ok({**FORECAST, "quality": None, "warnings": []})
    lines = [line.strip() for line in run("forecast", file).stdout.splitlines() if line]
    assert lines[:2] == ["How far to trust this", "not back-tested yet (`forgetcast backtest m`)"]


@pytest.mark.parametrize(("unlike", "shown"), [(True, True), (None, True), (False, False)])
def test_means_by_random_probes_are_shown_of_a_row_that_may_be_unlike_the_known_ones(run, service, file, unlike, shown):
    service.answers["GET", "/v1/tasks/t/forecast"] = ok({**FORECAST, "unlike_known": unlike})
    assert ("by random probes alone" in run("forecast", file).stdout) == shown


def test_the_only_matrix_need_not_be_named(run, service, file):
    run("forecast", file)
    assert service.sent("POST", "/v1/tasks")["matrix"] == "m"


def test_which_of_several_matrices_is_asked(run, service, file):
    service.answers["GET", "/v1/matrices"] = page([MATRIX, {**MATRIX, "id": "other"}])
    result = run("forecast", file)
    assert result.exit_code == 2
    assert "--matrix: m, other" in result.stderr


def test_a_service_without_a_matrix_says_how_to_get_one(run, service, file):
    service.answers["GET", "/v1/matrices"] = page([])
    result = run("forecast", file)
    assert result.exit_code == 1
    assert "forgetcast init" in result.stderr


def test_a_matrix_without_rows_is_refused_before_anything_is_sent(run, service, file):
    service.answers["GET", "/v1/matrices/m"] = ok({**MATRIX, "n_tasks": 0, "fitted_version": None, "quality": None})
    result = run("forecast", file, "--matrix", "m")
    assert result.exit_code == 1
    assert "no known row" in result.stderr and "forgetcast seed" in result.stderr
    assert "forgetcast measure TASK --full" in result.stderr
    assert [request.method for request in service.requests] == ["GET"]


def test_few_known_rows_are_said_with_what_so_few_were_worth(run, service, file):
    few = {**FORECAST, "n_tasks": 1, "quality": None, "warnings": [], "unlike_known": None}
    service.answers["GET", "/v1/tasks/t/forecast"] = ok(few)
    lines = [line.strip() for line in run("forecast", file).stdout.splitlines() if line]
    assert lines[1].startswith("1 known row: on two measured matrices") and "forgetcast seed --matrix m" in lines[1]
    assert lines[2] == "nothing says how good this is: a back-test needs 3 known rows"


def test_quality_of_tasks_left_out_alone_is_not_sold_as_that_of_a_new_kind(run, service, file):
    alone = {**FORECAST["quality"], "left_out": "tasks", "tasks_alone": None}
    service.answers["GET", "/v1/tasks/t/forecast"] = ok({**FORECAST, "quality": alone})
    assert "left out alone (a task of a new kind fares worse)" in run("forecast", file).stdout


def test_the_name_of_the_file_goes_along(run, service, file):
    run("forecast", file)
    assert service.sent("POST", "/v1/tasks")["name"] == "task.jsonl"


def test_options_go_along(run, service, file):
    run("forecast", file, "--matrix", "m", "--size", 12, "--seed", 3, "--id", "mine", "--top", 7)
    sent = service.sent("POST", "/v1/tasks")
    assert (sent["id"], sent["size"], sent["seed"], sent["measure"]) == ("mine", 12, 3, "probe")
    assert service.asked("GET", "/v1/tasks/t/forgotten")[0].url.params["k"] == "7"


def test_progress_goes_to_stderr(run, service, file):
    result = run("forecast", file)
    assert "claimed by worker-1" in result.stderr
    assert "fine-tune: 3 of 12, loss 2.500, 9 s left" in result.stderr
    assert "fine-tune: 3 of 12" not in result.stdout


def test_a_broken_file_is_one_line_and_nothing_is_sent(run, service, file):
    file.write_text('{"text": "one"}\n{"txt": "two"}\n')
    result = run("forecast", file)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "line 2" in result.stderr
    assert service.requests == []


def test_a_task_that_is_measured_is_not_followed_again(run, service, file):
    service.answers["POST", "/v1/tasks"] = ok(a_task(n_measured=30, row_version=1), 200)
    result = run("forecast", file)
    assert "already measured" in result.stderr
    assert service.asked("GET", "/v1/jobs/job_1/events") == []
    assert "poems-01" in result.stdout


def test_a_task_whose_job_failed_is_measured_again(run, service, file):
    error = {"code": "host_oom", "detail": "the machine ran out of memory"}
    service.answers |= {
        ("POST", "/v1/tasks"): ok(a_task(job="job_0"), 200),
        ("GET", "/v1/jobs/job_0"): ok(a_job("failed", id="job_0", error=error)),
        ("POST", "/v1/tasks/t/jobs"): ok(a_job("queued"), 202),
    }
    result = run("forecast", file)
    assert result.exit_code == 0
    assert "the machine ran out of memory); measuring again" in result.stderr


def test_a_task_of_another_size_says_how_to_measure_more_of_it(run, service, file):
    detail = "the id 't' belongs to a task with other content; choose another id"
    service.answers["POST", "/v1/tasks"] = problem("task_exists", 409, detail)
    result = run("forecast", file, "--id", "t", "--size", 6)
    assert result.exit_code == 1
    assert f"{detail}; `forgetcast measure TASK --size N` measures more" in result.stderr


def test_a_job_that_fails_is_an_error_with_its_reason(run, service, file):
    error = {"code": "bad_dataset", "detail": "no line has a response"}
    service.answers["GET", "/v1/jobs/job_1"] = [ok(a_job("running")), ok(a_job("failed", error=error))]
    result = run("forecast", file)
    assert result.exit_code == 1
    assert "no line has a response (bad_dataset)" in result.stderr


def test_time_that_is_up_has_its_own_exit_code(run, service, file):
    service.answers["GET", "/v1/jobs/job_1"] = ok(a_job("running"))
    result = run("forecast", file, "--timeout", "0s")
    assert result.exit_code == 5
    assert "forgetcast task wait" in result.stderr


def test_ctrl_c_says_that_the_job_goes_on(run, service, file):
    service.answers["GET", "/v1/jobs/job_1"] = ok(a_job("running"))
    service.answers["GET", "/v1/jobs/job_1/events"] = KeyboardInterrupt()
    result = run("forecast", file)
    assert result.exit_code == 130
    assert "the job goes on; follow it with `forgetcast task wait t`" in result.stderr
    elsewhere = run("forecast", file, "--url", "http://localhost:8000")
    assert "`forgetcast task wait t --url http://localhost:8000`" in elsewhere.stderr


def test_without_waiting_the_id_is_all_that_is_printed(run, service, file):
    result = run("forecast", file, "--no-wait")
    assert result.stdout == "t\n"
    assert service.asked("GET", "/v1/tasks/t/forecast") == []


def test_quiet_prints_the_id_alone(run, service, file):
    result = run("forecast", file, "-q")
    assert (result.stdout, result.stderr) == ("t\n", "")


def test_json_is_what_the_service_said(run, service, file):
    said = json.loads(run("forecast", file, "--json").stdout)
    assert said["task"] == "t"
    assert said["forecast"]["row_mean"]["mean"] == 0.1
    assert said["forgotten"]["data"][0]["example_id"] == "poems-01"
    assert said["job"]["seconds"]["fine_tune"] == 20.0


def test_first_words_of_a_large_set_come_without_reading_it(run, service, file):
    service.answers["GET", "/v1/upstream-sets/s"] = ok({**UPSTREAM_SET, "n_examples": 141_816})
    result = run("forecast", file)
    assert "print(1)" in result.stdout
    assert service.asked("GET", "/v1/upstream-sets/s/examples") == []
    assert service.asked("GET", "/v1/tasks/t/replay-set")[0].url.params["strategy"] == "top"
