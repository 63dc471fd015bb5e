"""The steps of action.yml in bash, as a job runs them, against a live service with API keys."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
import yaml
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service.api.examples import QUALITY
from service.api.report_examples import ANALYSIS
from service.storage.tables import Fit
from tests.api.conftest import World, low_rank_rows
from tests.api_keys import create_key
from tests.slow_clients import serving

ACTION = yaml.safe_load((Path(__file__).parents[2] / "action.yml").read_text(encoding="utf-8"))
GATE = next(step for step in ACTION["runs"]["steps"] if step["id"] == "gate")
NEW_ROW = low_rank_rows(13, seed=3)[12]
LOOSE = "min_quality: {coverage: 0, row_mean_ratio: 10}\n"
PASSES = f"{LOOSE}assertions: [{{metric: mean_forgetting, max: 10}}]"
FAILS = f"{LOOSE}assertions: [{{metric: mean_forgetting, max: -10}}]"
OPEN = f"{LOOSE}assertions: [{{metric: mean_forgetting, max: {float(NEW_ROW.mean()):.5f}}}]"

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


@dataclass
class Job:
    """A job of a CI: a folder, what its step printed and ended with, and the files that it left."""

    folder: Path
    url: str
    keys: dict[str, str]

    def run(self, policy: str = PASSES, **inputs: str) -> subprocess.CompletedProcess[str]:
        (self.folder / "forgetting.yml").write_text(policy)
        given = {name: one.get("default", "") for name, one in ACTION["inputs"].items()}
        given |= {"task": "new", "url": self.url, "api-key": self.keys["measure"]}
        given |= {name.replace("_", "-"): value for name, value in inputs.items()}
        variables = {name: _filled(text, given) for name, text in GATE["env"].items()}
        for name in ("outputs", "summary.md"):
            (self.folder / name).unlink(missing_ok=True)
            (self.folder / name).touch()
        paths = {"GITHUB_OUTPUT": str(self.folder / "outputs"), "GITHUB_STEP_SUMMARY": str(self.folder / "summary.md")}
        environment = {
            "PATH": f"{self.folder}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(Path(__file__).parents[2]),
            "HOME": str(self.folder),
            "NO_PROXY": "*",
        }
        shell = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", GATE["run"]]
        return subprocess.run(
            shell, cwd=self.folder, env=environment | paths | variables, capture_output=True, text=True, timeout=120
        )

    @property
    def outputs(self) -> dict[str, str]:
        return dict(line.split("=", 1) for line in (self.folder / "outputs").read_text().splitlines())

    @property
    def summary(self) -> str:
        return (self.folder / "summary.md").read_text(encoding="utf-8")


def _filled(text: str, inputs: dict[str, str]) -> str:
    for name, value in inputs.items():
        text = text.replace(f"${{{{ inputs.{name} }}}}", value)
    assert "${{" not in text
    return text


@pytest.fixture
def job(world: World, client: TestClient, tmp_path: Path) -> Iterator[Job]:
    with world.database.transaction() as session:
        session.execute(sa.update(Fit).values(tested=True, quality=QUALITY, analysis=ANALYSIS))
    world.post_task(id="new", measure="none")
    world.post_task(id="waits", measure="none")
    world.measure("new", NEW_ROW, weights_sha256="a" * 64)
    with world.database.transaction() as session:
        keys = {scope.value: create_key(session, scope.value, [scope]) for scope in (Scope.MEASURE, Scope.READ)}
    folder = tmp_path / "job"
    folder.mkdir()
    command = folder / "forgetcast"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m forgetcast.cli "$@"\n')
    command.chmod(0o755)
    app: Any = client.app
    app.state.parts.known_keys.forget()  # that there was none
    with serving(app) as port:
        yield Job(folder, f"http://127.0.0.1:{port}", keys)


def test_every_verdict_ends_the_step_as_it_should(job: Job) -> None:
    for policy, inputs, code, verdict in [
        (PASSES, {}, 0, "pass"),
        (FAILS, {}, 3, "fail"),
        (FAILS, {"exit_zero": "true"}, 0, "fail"),
        (OPEN, {}, 0, "inconclusive"),
        (OPEN, {"strict": "true"}, 6, "inconclusive"),
    ]:
        done = job.run(policy, **inputs)
        assert (done.returncode, job.outputs["verdict"]) == (code, verdict), done.stderr
        assert job.outputs["gate-id"].startswith("gate_")
        assert verdict.upper() in job.summary.splitlines()[0]
        assert (job.folder / "forgetcast-gate.xml").read_text().startswith("<?xml")
        assert f"title=forgetcast gate::{verdict.upper()}: new under forgetting.yml" in done.stdout


def test_a_domain_that_does_not_exist_is_a_verdict_error(job: Job) -> None:
    done = job.run(f"{LOOSE}assertions: [{{metric: mean_forgetting, max: 10, domain: cod}}]", exit_zero="true")
    assert (done.returncode, job.outputs["verdict"]) == (1, "error")
    assert "did you mean 'code'?" in done.stdout


def test_what_cannot_be_judged_ends_the_step_with_its_own_code(job: Job) -> None:
    for inputs, code, said in [
        ({"api_key": job.keys["read"]}, 4, "lacks the scope 'measure'"),
        ({"api_key": "fck_00000000_" + "0" * 43}, 4, "key"),
        ({"task": "nobody"}, 1, "no task has the id 'nobody'"),
        ({"task": "waits"}, 1, "nothing has been measured"),
        ({"task": "--help"}, 1, ""),
        ({"url": "http://127.0.0.1:9"}, 1, "forgetcast up"),
    ]:
        done = job.run(exit_zero="true", **inputs)
        assert done.returncode == code, (inputs, done.stdout, done.stderr)
        assert said in done.stderr
        assert job.outputs["verdict"] == "error"
        assert "::error title=forgetcast gate::ERROR" in done.stdout


def test_a_service_that_is_down_may_be_a_warning(job: Job) -> None:
    done = job.run(url="http://127.0.0.1:9", on_unavailable="warn")
    assert (done.returncode, "nothing was judged" in done.stderr) == (0, True)
    assert job.outputs["verdict"] == "error"


def test_a_policy_with_a_typo_is_named(job: Job) -> None:
    done = job.run("assertions: [{metric: mean_forgeting, max: 1}]", exit_zero="true")
    assert (done.returncode, "did you mean 'mean_forgetting'?" in done.stderr) == (2, True)


def test_a_fork_without_secrets_is_told_so(job: Job) -> None:
    done = job.run(api_key="")
    assert (done.returncode, job.outputs) == (4, {"verdict": "error"})
    assert done.stdout.startswith("::error title=forgetcast gate::There is no API key. Pull requests from forks")


def test_cells_of_a_finished_evaluation_need_neither_key_nor_service(job: Job) -> None:
    cells = "".join(json.dumps({"example_id": f"e{at}", "forgetting": 0.1}) + "\n" for at in range(5))
    (job.folder / "cells.jsonl").write_text(cells)
    assert job.run(FAILS, api_key="", url="http://127.0.0.1:9", cells="cells.jsonl").returncode == 3
    assert job.outputs["verdict"] == "fail"


def test_nothing_in_an_input_is_run(job: Job) -> None:
    job.run(task="new; touch ran", policy=PASSES)
    job.run(task="$(touch ran)")
    assert not (job.folder / "ran").exists()


def test_every_input_and_output_of_the_action_is_used_and_described() -> None:
    steps = json.dumps(ACTION["runs"])
    assert all(f"inputs.{name} " in steps for name in ACTION["inputs"])
    assert all(one["description"] for part in ("inputs", "outputs") for one in ACTION[part].values())
