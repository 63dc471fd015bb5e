"""`forgetcast gate --dataset`: from data to verdict; and `measure --until-conclusive`."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from forgetcast.errors import ServiceUnreachable
from tests.cli.test_gate import NOTHING_TO_SETTLE, answers, kept
from tests.client.answers import a_job, a_task, ok


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "forgetting.yml"
    path.write_text("assertions: [{metric: mean_forgetting, max: 0.05}]")
    return path


@pytest.fixture
def dataset(tmp_path):
    path = tmp_path / "train.jsonl"
    path.write_text('{"text": "one"}\n{"text": "two"}\n')
    return path


def test_a_task_that_is_not_there_is_submitted_waited_for_and_judged(run, service, policy, dataset):
    answers(service, "pass")
    result = run("gate", "--dataset", dataset, "--matrix", "m", "--policy", policy, "--wait", "--size", 40)
    assert result.exit_code == 0, result.stderr
    sent = service.sent("POST", "/v1/tasks")
    assert (sent["matrix"], sent["size"]) == ("m", 40)
    assert "task t submitted" in result.stderr
    assert service.asked("GET", "/v1/jobs/job_1")
    assert len(service.asked("POST", "/v1/tasks/t/gate")) == 1


def test_a_task_that_is_measured_is_not_measured_again(run, service, policy, dataset):
    service.answers["POST", "/v1/tasks"] = ok(a_task(n_measured=30), 200)
    answers(service, "fail")
    result = run("gate", "--dataset", dataset, "--policy", policy, "--wait")
    assert result.exit_code == 3
    assert "is already measured" in result.stderr
    assert service.asked("GET", "/v1/jobs/job_1/events") == []


def test_without_waiting_a_new_task_has_no_verdict_yet(run, service, policy, dataset, tmp_path):
    service.answers["POST", "/v1/tasks"] = ok(a_task(n_measured=0), 202)
    out = tmp_path / "gate.xml"
    result = run("gate", "--dataset", dataset, "--policy", policy, "--junit", out)
    assert result.exit_code == 1
    assert "--wait waits for it" in result.stderr
    assert ElementTree.parse(out).getroot().get("errors") == "1"  # noqa: S314 (our own file)
    assert service.asked("POST", "/v1/tasks/t/gate") == []


def test_a_task_by_its_id_is_waited_for_too(run, service, policy):
    service.answers["GET", "/v1/tasks/t"] = ok(a_task(n_measured=0))
    answers(service, "pass")
    assert run("gate", "t", "--policy", policy, "--wait").exit_code == 0
    assert service.asked("GET", "/v1/jobs/job_1")


def test_a_job_that_fails_is_an_error_and_no_verdict(run, service, policy, dataset):
    failed = a_job("failed", error={"code": "gpu_oom", "detail": "the GPU ran out of memory", "retry": False})
    service.answers["POST", "/v1/tasks"] = ok(a_task(n_measured=0), 202)
    service.answers["GET", "/v1/jobs/job_1"] = [ok(a_job("running")), ok(failed)]
    result = run("gate", "--dataset", dataset, "--policy", policy, "--wait", "--on-unavailable", "warn", "--exit-zero")
    assert result.exit_code == 1
    assert service.asked("POST", "/v1/tasks/t/gate") == []


def test_a_service_that_is_away_may_be_a_warning(run, service, policy, dataset):
    service.answers["GET", "/v1/matrices"] = ServiceUnreachable("nobody answers")
    command = ["gate", "--dataset", dataset, "--policy", policy, "--wait"]
    assert run(*command).exit_code == 1
    assert run(*command, "--on-unavailable", "warn").exit_code == 0


def test_data_that_nothing_reads_are_named_before_anything_is_sent(run, service, policy, tmp_path):
    (tmp_path / "wrong.jsonl").write_text("no json\n")
    result = run("gate", "--dataset", tmp_path / "wrong.jsonl", "--matrix", "m", "--policy", policy, "--wait")
    assert result.exit_code == 1
    assert "line 1" in result.stderr
    assert service.asked("POST", "/v1/tasks") == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "name a TASK, or its data by --dataset"),
        (["t", "--matrix", "m"], "--matrix goes with --dataset"),
        (["t", "--size", "3"], "--size goes with --dataset"),
        (["t", "--timeout", "3s"], "--timeout goes with --wait"),
        (["t", "--wait", "--from", "{dataset}"], "not for --from"),
    ],
)
def test_options_that_do_not_go_together(run, service, policy, dataset, options, said):
    result = run("gate", "--policy", policy, *[option.format(dataset=dataset) for option in options])
    assert result.exit_code == 2
    assert said in result.stderr
    assert service.requests == []


def of_recipe(verdict, look, **settled):
    found = kept(verdict)
    found["verdict"] |= {"object": "recipe", "look": look}
    found |= {"judged": "recipe", "weights_sha256": None, "look": look}
    if verdict == "inconclusive":
        found["verdict"]["assertions"][0]["settled_by"] = {**NOTHING_TO_SETTLE, **settled}
    return ok(found, 201)


@pytest.fixture
def measuring(service):
    service.answers["GET", "/v1/tasks/t"] = ok(a_task(n_measured=2))
    service.answers["POST", "/v1/tasks/t/jobs"] = ok(a_job("queued"), 202)
    return service


def orders(service):
    import json

    return [json.loads(request.content) for request in service.asked("POST", "/v1/tasks/t/jobs")]


def test_more_is_measured_until_the_verdict_is_conclusive(run, measuring, policy):
    measuring.answers["POST", "/v1/tasks/t/gate"] = [of_recipe("inconclusive", 1), of_recipe("fail", 2)]
    result = run("measure", "t", "--until-conclusive", "--policy", policy)
    assert result.exit_code == 3
    assert [(one["measure"], one["size"]) for one in orders(measuring)] == [("probe", 3)]
    assert "look 1 of 5: inconclusive" in result.stderr
    assert "look 2 of 5: fail" in result.stderr


def test_looks_that_are_spent_end_it(run, measuring, policy):
    measuring.answers["POST", "/v1/tasks/t/gate"] = [of_recipe("inconclusive", look) for look in (4, 5)]
    result = run("measure", "t", "--until-conclusive", "--policy", policy)
    assert result.exit_code == 0
    assert len(orders(measuring)) == 1
    assert "5 looks are spent" in result.stderr


def test_posted_weights_are_no_workers_to_measure_and_the_command_is_said(run, measuring, policy):
    measuring.answers["POST", "/v1/tasks/t/gate"] = ok(kept("inconclusive"), 201)
    result = run("measure", "t", "--until-conclusive", "--policy", policy)
    assert orders(measuring) == []
    assert "forgetcast score t --weights FOLDER --size 3" in result.stderr


def test_a_policy_that_cannot_be_read_measures_nothing(run, measuring, policy):
    policy.write_text("assertions: []")
    assert run("measure", "t", "--until-conclusive", "--policy", policy).exit_code == 2
    assert measuring.requests == []


@pytest.mark.parametrize(
    "options",
    [["--until-conclusive"], ["--full", "--policy", "p"], ["--until-conclusive", "--policy", "p", "--no-wait"]],
)
def test_until_conclusive_and_its_policy_go_together(run, service, options):
    assert run("measure", "t", *options).exit_code == 2
    assert service.requests == []
