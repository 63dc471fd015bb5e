"""`forgetcast gate`: exit codes, files, and what a reader sees first."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree

import pytest

from forgetcast.errors import ServiceUnreachable
from service.api.examples import AT, SHA256, VERSIONS
from service.api.gate_examples import POLICY, VERDICT
from tests.client.answers import ok, problem

ASSERTION = VERDICT["assertions"][0]
NOTHING_TO_SETTLE = {"n_more": 20, "example_ids": ["poems-01", "code-01"], "at_random": False, "reason": "by design"}


def kept(verdict, result=None, **changes):
    assertion = {**ASSERTION, "result": result or verdict}
    if assertion["result"] == "inconclusive":
        assertion |= {"reason": "the interval holds the limit", "settled_by": NOTHING_TO_SETTLE}
    if assertion["result"] == "error":
        assertion |= {"value": None, "low": None, "high": None, "reason": "no domain 'cod'", "basis": "nothing"}
    return {
        "id": "gate_1",
        "task": "t",
        "matrix": "m",
        **VERSIONS,
        "policy": POLICY,
        "policy_sha256": SHA256,
        "first_release": False,
        "judged": "candidate",
        "weights_sha256": SHA256,
        "baseline": None,
        "look": 1,
        "verdict": {**VERDICT, "verdict": verdict, "assertions": [{**assertion, **changes}]},
        "created_at": AT,
    }


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "forgetting.yml"
    path.write_text("assertions: [{metric: mean_forgetting, max: 0.05}]")
    return path


def answers(service, verdict, **changes):
    service.answers["POST", "/v1/tasks/t/gate"] = ok(kept(verdict, **changes), 201)


@pytest.mark.parametrize(
    ("verdict", "options", "code"),
    [
        ("pass", [], 0),
        ("warn", [], 0),
        ("inconclusive", [], 0),
        ("inconclusive", ["--strict"], 6),
        ("fail", [], 3),
        ("error", [], 1),
        ("fail", ["--exit-zero"], 0),
        ("inconclusive", ["--strict", "--exit-zero"], 0),
        ("error", ["--exit-zero"], 1),
        ("error", ["--on-unavailable", "warn"], 1),
    ],
)
def test_the_exit_code_is_the_verdict(run, service, policy, verdict, options, code):
    answers(service, verdict, result="fail" if verdict == "warn" else None)
    assert run("gate", "t", "--policy", policy, *options).exit_code == code


@pytest.mark.parametrize(
    ("answer", "code", "as_warning"),
    [
        (ServiceUnreachable("nobody answers"), 1, 0),
        (problem("database_unavailable", 503), 1, 0),
        (problem("unauthenticated", 401), 4, 4),
        (problem("forbidden", 403), 4, 4),
        (problem("task_not_found", 404), 1, 1),
        (problem("not_measured", 409), 1, 1),
    ],
)
def test_without_an_answer_only_an_absent_service_may_be_a_warning(
    run, service, policy, tmp_path, answer, code, as_warning
):
    service.answers["POST", "/v1/tasks/t/gate"] = answer
    out = tmp_path / "out.xml"
    assert run("gate", "t", "--policy", policy, "--exit-zero", "--junit", out).exit_code == code
    assert ElementTree.parse(out).getroot().get("errors") == "1"  # noqa: S314 (our own file)
    warned = run("gate", "t", "--policy", policy, "--on-unavailable", "warn")
    assert warned.exit_code == as_warning
    assert ("nothing was judged" in warned.stderr) == (as_warning == 0)


def test_a_policy_that_cannot_be_read_is_exit_code_2_and_asks_nobody(run, service, tmp_path):
    (tmp_path / "typo.yml").write_text("assertions: [{metric: mean_forgeting, max: 0.05}]")
    result = run("gate", "t", "--policy", tmp_path / "typo.yml", "--exit-zero")
    assert (result.exit_code, "did you mean 'mean_forgetting'?" in result.stderr) == (2, True)
    assert run("gate", "t", "--policy", tmp_path / "none.yml").exit_code == 2
    assert service.requests == []


def test_a_failure_says_at_once_what_why_and_what_next(run, service, policy):
    answers(service, "fail")
    lines = run("gate", "t", "--policy", policy).stdout.splitlines()
    assert lines[0] == f"FAIL: t under {policy} (1 fail)"
    assert "+0.084  +0.061 to +0.107  +0.050  over, 99.95% sure" in lines[3]
    text = "\n".join(lines)
    assert "geography-20" in text
    assert "forgetcast replay t --ratio" in text


def test_what_is_open_names_the_examples_to_measure(run, service, policy):
    answers(service, "inconclusive")
    shown = run("gate", "t", "--policy", policy).stdout
    assert f"forgetcast gate t --policy {policy} -q > ids.txt   # 20 more examples" in shown
    assert run("gate", "t", "--policy", policy, "-q").stdout == "poems-01\ncode-01\n"
    assert "to settle it: 20 more examples; by design" in run("gate", "t", "--policy", policy, "--explain").stdout


def test_json_is_the_verdict_that_the_service_keeps(run, service, policy):
    answers(service, "pass")
    document = json.loads(run("gate", "t", "--policy", policy, "--json").stdout)
    assert (document["id"], document["verdict"]["verdict"]) == ("gate_1", "pass")


def test_a_job_on_github_gets_annotations_outputs_and_a_summary(run, service, policy, tmp_path, monkeypatch):
    monkeypatch.setenv("GITHUB_OUTPUT", str(tmp_path / "outputs"))
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(tmp_path / "summary.md"))
    answers(service, "fail", name="50% off\nmean")
    lines = run("gate", "t", "--policy", policy, "--github").stdout.splitlines()
    assert [line for line in lines if line.startswith("::error title=forgetcast gate::50%25 off%0Amean is")]
    assert (tmp_path / "outputs").read_text().splitlines()[:2] == ["verdict=fail", "gate-id=gate_1"]
    assert (tmp_path / "summary.md").read_text().startswith("### ❌ FAIL: t under")


def write_cells(path, values, **fields):
    path.write_text(
        "".join(json.dumps({"example_id": f"e{i}", "forgetting": v, **fields}) + "\n" for i, v in enumerate(values))
    )
    return path


def test_a_finished_evaluation_is_judged_without_a_service(run, service, policy, tmp_path):
    good, bad = (write_cells(tmp_path / f"{value}.jsonl", [value, value]) for value in (0.04, 0.06))
    assert run("gate", "t", "--policy", policy, "--from", good, "--strict").exit_code == 0
    assert run("gate", "t", "--policy", policy, "--from", bad).exit_code == 3
    assert service.requests == []


def test_a_finished_evaluation_is_compared_with_another(run, service, tmp_path):
    policy = tmp_path / "policy.json"
    threshold = {"metric": "mean_forgetting", "threshold": 0.01}
    policy.write_text(json.dumps({"baseline": "auto", "assertions": [threshold]}))
    new, old = write_cells(tmp_path / "new.jsonl", [0.04, 0.06]), write_cells(tmp_path / "old.jsonl", [0.04, 0.05])
    command = ["gate", "t", "--policy", policy, "--from", new]
    assert run(*command, "--baseline-from", old).exit_code == 0
    assert run(*command).exit_code == 1
    assert run(*command, "--first-release").exit_code == 0
    fewer = run(*command, "--baseline-from", write_cells(tmp_path / "fewer.jsonl", [0.0]))
    assert (fewer.exit_code, "lacks the example 'e1'" in fewer.stderr) == (1, True)


def test_the_preset_is_a_policy_and_the_schema_is_json(run, service, tmp_path):
    (tmp_path / "preset.yml").write_text(run("gate", "--preset").stdout)
    cells = write_cells(tmp_path / "cells.jsonl", [0.01, 0.02], domain="poems")
    assert run("gate", "t", "--policy", tmp_path / "preset.yml", "--from", cells).exit_code == 0
    assert json.loads(run("gate", "--schema").stdout)["title"] == "Policy of a Forgetcast release gate"
