"""Commands that read: forgotten, task, matrix."""

from __future__ import annotations

import json
from datetime import datetime

import pytest

from tests.client.answers import CREATED, a_job, a_task, ok, page


def test_forgotten_asks_for_what_the_options_say(run, service):
    result = run("forgotten", "t", "--k", 5, "--domain", "poems", "--min", "0.1", "--level", "0.8", "--as-of", 3)
    assert result.exit_code == 0
    asked = dict(service.asked("GET", "/v1/tasks/t/forgotten")[0].url.params)
    assert asked == {"k": "5", "domain": "poems", "min": "0.1", "level": "0.8", "as_of": "3"}
    assert "The rain falls softly" in result.stdout


def test_forgotten_begins_with_how_far_to_trust_it(run, service):
    shown = run("forgotten", "t", "--level", 0.8, "--as-of", 3).stdout
    assert shown.strip().startswith("How far to trust this\n  warning: unlike_known")
    (asked,) = service.asked("GET", "/v1/tasks/t/forecast")
    assert dict(asked.url.params) == {"level": "0.8", "as_of": "3"}


def test_forgotten_quietly_prints_ids_one_a_line(run, service):
    assert run("forgotten", "t", "-q").stdout == "poems-01\npoems-02\ncode-01\n"


def test_forgotten_as_json_is_the_answer_of_the_service(run, service):
    assert json.loads(run("forgotten", "t", "--json").stdout)["data"][1]["measured"] is True


def test_tasks_are_listed_with_what_they_are(run, service):
    service.answers["GET", "/v1/tasks"] = page(
        [a_task(name="squad.jsonl"), a_task("u", known=True), a_task("v", repeat_of="u")]
    )
    lines = [line.split() for line in run("task", "ls").stdout.splitlines()]
    assert lines[0] == ["task", "file", "registered", "matrix", "family", "measured"]
    day = datetime.fromisoformat(CREATED).astimezone().strftime("%Y-%m-%d %H:%M").split()
    assert ["t", "squad.jsonl", *day, "m", "0"] in lines
    assert ["u", *day, "m", "0", "known", "row"] in lines
    assert ["v", *day, "m", "0", "repeat", "of", "u"] in lines


def test_tasks_are_listed_by_id_for_other_commands(run, service):
    assert run("task", "ls", "-q", "--matrix", "m").stdout == "t\nu\nv\n"
    assert service.asked("GET", "/v1/tasks")[0].url.params["matrix"] == "m"


def test_a_task_is_shown_with_its_job(run, service):
    result = run("task", "get", "t")
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert {"id t", "seed 1", "state succeeded", "attempt 1 of 3"} <= set(lines)


def test_waiting_for_tasks_ends_when_all_are_measured(run, service):
    assert run("task", "wait", "t", "t", "-q").stdout == "t\nt\n"


def test_waiting_for_a_task_that_fails_exits_1(run, service):
    error = {"code": "stalled", "detail": "no progress for 600 s"}
    service.answers["GET", "/v1/jobs/job_1"] = ok(a_job("failed", error=error))
    result = run("task", "wait", "t")
    assert result.exit_code == 1
    assert "no progress for 600 s (stalled)" in result.stderr


def test_waiting_for_several_goes_on_after_one_failed(run, service):
    service.answers |= {
        ("GET", "/v1/tasks/failed"): ok(a_task("failed", job="job_2")),
        ("GET", "/v1/jobs/job_2"): ok(a_job("failed", id="job_2")),
        ("GET", "/v1/tasks/slow"): ok(a_task("slow", job="job_3")),
        ("GET", "/v1/jobs/job_3"): ok(a_job("running", id="job_3")),
        **{("GET", f"/v1/jobs/{job}/events"): page([]) for job in ("job_2", "job_3")},
    }
    result = run("task", "wait", "failed", "slow", "t", "-q", "--timeout", "0s")
    assert (result.stdout, result.exit_code) == ("t\n", 1)
    assert "job_3 is running" in result.stderr and "job job_2 of the task 'failed' failed" in result.stderr


def test_waiting_has_a_time_limit(run, service):
    service.answers["GET", "/v1/jobs/job_1"] = ok(a_job("running"))
    assert run("task", "wait", "t", "--timeout", "0s").exit_code == 5


def test_cancelling_asks_the_newest_job_to_end(run, service):
    assert run("task", "cancel", "t").exit_code == 0
    assert len(service.asked("POST", "/v1/jobs/job_1/cancel")) == 1


@pytest.mark.parametrize("command", ["cancel", "events"])
def test_a_task_without_a_job_is_said_to_have_none(run, service, command):
    service.answers["GET", "/v1/tasks/t"] = ok(a_task(job=None))
    result = run("task", command, "t")
    assert result.exit_code == 1
    assert "has no job" in result.stderr


@pytest.mark.parametrize("follow", [[], ["-f"]])
def test_events_are_lines_on_stdout(run, service, follow):
    lines = run("task", "events", "t", *follow).stdout.splitlines()
    assert lines[0].endswith("info   claimed by worker-1")
    assert lines[1].endswith("info   fine-tune: 3 of 12, loss 2.500, 9 s left")
    assert len(lines) == 2


def test_events_as_json_are_one_object_a_line(run, service):
    lines = run("task", "events", "t", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in lines] == [1, 2]


def test_matrices_are_listed(run, service):
    assert ["m", "tiny", "s", "40", "3"] in [line.split() for line in run("matrix", "ls").stdout.splitlines()]


def test_a_matrix_is_shown_with_what_its_forecasts_are_worth(run, service):
    shown = run("matrix", "show", "m").stdout
    assert "with their families     0.840" in shown and "by popularity" in shown
    assert "method full, learning_rate 0.0001, steps 12" in shown


def test_waiting_for_several_goes_on_after_one_without_a_job(run, service):
    service.answers |= {
        ("GET", "/v1/tasks/imported"): ok(a_task("imported", job=None, n_measured=80)),
        ("GET", "/v1/tasks/bare"): ok(a_task("bare", job=None)),
    }
    result = run("task", "wait", "bare", "absent", "imported", "t", "-q")
    assert (result.stdout, result.exit_code) == ("imported\nt\n", 1)
    assert "the task 'bare' has no job" in result.stderr and "no task has this id" in result.stderr
