"""`forgetcast doctor`: each line says ok, warn or fail, and what to do."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib import metadata
from types import SimpleNamespace
from typing import Any, NamedTuple

import httpx2
import pytest

from forgetcast.cli import checks
from tests.cli.world import MATRIX
from tests.client.answers import CREATED, ok, page, problem

WORKER = {
    "id": "worker-1",
    "host": "gpu-1",
    "hardware": ["any"],
    "gpu": "GPU-1",
    "version": "0.1.0",
    "job": None,
    "alive": True,
    "started_at": CREATED,
    "seen_at": CREATED,
}
QUEUE: dict[str, Any] = {
    "n_queued": 3,
    "n_running": 1,
    "oldest_age_s": 5.0,
    "job_s": None,
    "waiting": [],
    "running": [],
}


@pytest.fixture(autouse=True)
def folders(tmp_path, monkeypatch):
    monkeypatch.setenv("FORGETCAST_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FORGETCAST_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.delenv("FORGETCAST_MODELS", raising=False)
    with_room(monkeypatch, 100e9)


@pytest.fixture(autouse=True)
def healthy(service):
    service.answers |= {
        ("GET", "/readyz"): ok({"ready": True, "missing": [], "warnings": []}),
        ("GET", "/openapi.json"): ok({"info": {"version": metadata.version("forgetcast")}}),
        ("GET", "/v1/queue"): ok(QUEUE),
        ("GET", "/v1/models"): page([{"id": "tiny", "revision": None}]),
        ("GET", "/v1/workers"): page([WORKER, {**WORKER, "id": "gone", "alive": False}]),
    }
    return service


def with_room(monkeypatch: pytest.MonkeyPatch, free: float) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=int(free)))


def found(run: Any, exit_code: int = 0) -> dict[str, list[tuple[str, str, str]]]:
    """State, what is said and what to do, by the name of the check."""
    result = run("doctor", "--json")
    assert result.exit_code == exit_code, result.output
    checks: dict[str, list[tuple[str, str, str]]] = {}
    for check in json.loads(result.stdout):
        checks.setdefault(check["name"], []).append((check["state"], check["said"], check["next"]))
    return checks


def test_all_is_well(run):
    checks = found(run)
    assert {state for lines in checks.values() for state, _said, _next in lines} == {"ok"}
    assert checks["workers"] == [("ok", "1, 1 of them with a GPU; 3 jobs wait, 1 run", "")]
    assert checks.keys() >= {"service", "ready", "key", "workers", "matrix", "torch", "state", "cache"}


def test_lines_are_for_people_too(run, healthy):
    healthy.answers["GET", "/v1/matrices"] = page([])
    lines = run("doctor").stdout.splitlines()
    place = lines.index("warn  matrix    there is none yet")
    assert lines[place + 1].strip().startswith("-> without known rows: forgetcast init")


def test_a_service_that_is_not_there(run, healthy):
    healthy.answers["GET", "/readyz"] = httpx2.ConnectError("refused")
    checks = found(run, exit_code=1)
    assert checks["service"][0][0] == "fail" and "forgetcast up" in checks["service"][0][2]
    assert "key" not in checks and "state" in checks


def test_something_else_that_answers_there(run, healthy):
    healthy.answers["GET", "/openapi.json"] = ok({})
    assert "a Forgetcast service?" in found(run, exit_code=1)["service"][0][1]


def test_a_service_without_a_base_model_is_told_what_comes_before_a_matrix(run, healthy):
    healthy.answers |= {("GET", "/v1/models"): page([]), ("GET", "/v1/matrices"): page([])}
    checks = found(run)
    ((state, said, todo),) = checks["models"]
    assert state == "warn" and "no matrix can be made" in said and "models.toml" in todo
    assert "forgetcast init" in checks["matrix"][0][2]


def test_a_service_whose_models_cannot_be_read(run, healthy):
    healthy.answers["GET", "/v1/models"] = problem("models_unreadable", 503, "/srv/models.toml is not TOML: line 3")
    ((state, said, todo),) = found(run, exit_code=1)["models"]
    assert state == "fail" and "line 3" in said and todo.startswith("mend it")


def test_a_folder_that_cannot_be_written(run, monkeypatch):
    monkeypatch.setenv("FORGETCAST_HOME", "/proc/forgetcast")
    ((state, said, todo),) = found(run, exit_code=1)["state"]
    assert state == "fail" and "nothing can be written into /proc" in said and "FORGETCAST_HOME" in todo


def test_another_version(run, healthy):
    healthy.answers["GET", "/openapi.json"] = ok({"info": {"version": "9.1.0"}})
    ((state, said, todo),) = found(run)["service"]
    assert (state, todo) == ("warn", "pip install 'forgetcast==9.1.0'") and "9.1.0" in said


def test_what_the_service_misses(run, healthy):
    missing = {"ready": False, "missing": ["run `forgetcast migrate`"], "warnings": ["no worker"]}
    healthy.answers["GET", "/readyz"] = ok(missing, 503)
    assert [line[:2] for line in found(run, exit_code=1)["ready"]] == [
        ("fail", "run `forgetcast migrate`"),
        ("warn", "no worker"),
    ]


def test_a_key_that_is_refused_has_its_exit_code(run, healthy):
    healthy.answers["GET", "/v1/caller"] = problem("unauthenticated", 401)
    assert "forgetcast login" in found(run, exit_code=4)["key"][0][2]


def test_a_key_that_may_not_read(run, healthy):
    healthy.answers["GET", "/v1/caller"] = problem("forbidden", 403, "the API key lacks the scope 'read'")
    assert found(run)["key"][0][:2] == ("warn", "valid, but the API key lacks the scope 'read'")


@pytest.mark.parametrize(("days", "state"), [(30, "ok"), (2, "warn")])
def test_a_key_that_ends(run, healthy, days, state):
    key = {"id": "4f7x2k9q", "name": "ci", "scopes": ["read"], "created_at": CREATED, "revoked_at": None}
    ends = datetime.now(UTC) + timedelta(days=days)
    healthy.answers["GET", "/v1/caller"] = ok({"key": {**key, "expires_at": ends.isoformat()}, "scopes": ["read"]})
    ((found_state, said, todo),) = found(run)["key"]
    assert (found_state, said) == (state, f"4f7x2k9q (ci) may read until {ends:%Y-%m-%d %H:%M} UTC")
    assert ("forgetcast key rotate 4f7x2k9q" in todo) == (state == "warn")


def test_no_worker_and_a_matrix_that_nobody_fitted(run, healthy):
    healthy.answers |= {
        ("GET", "/v1/workers"): page([]),
        ("GET", "/v1/matrices"): page([{**MATRIX, "fitted_version": None}]),
    }
    checks = found(run)
    assert checks["workers"] == [("warn", "none; 3 jobs wait, 1 run", "forgetcast worker")]
    assert checks["matrix"][0][0] == "warn"


@pytest.mark.parametrize(
    ("what", "said", "state", "exit_code"), [("fit", "fitted", "fail", 1), ("backtest", "back-tested", "warn", 0)]
)
def test_a_matrix_that_cannot_be_fitted(run, healthy, what, said, state, exit_code):
    error = {"matrix_version": 5, "what": what, "code": "not_finite", "detail": "the row of task 'x' holds 6e+37"}
    error |= {"hint": "look at the rows with the largest values", "n_failed": 2, "again_at": CREATED}
    healthy.answers["GET", "/v1/matrices"] = page([{**MATRIX, "fit_error": error}])
    ((found_state, found_said, todo),) = found(run, exit_code)["matrix"]
    assert (found_state, todo) == (state, error["hint"])
    assert found_said == f"m: version 5 cannot be {said}: the row of task 'x' holds 6e+37 (not_finite)"


@pytest.mark.parametrize(("free", "state", "exit_code"), [(2e9, "warn", 0), (0.1e9, "fail", 1)])
def test_a_full_disk(run, monkeypatch, free, state, exit_code):
    with_room(monkeypatch, free)
    checks = found(run, exit_code)
    assert checks["cache"][0][0] == checks["state"][0][0] == state
    assert "FORGETCAST_CACHE_DIR" in checks["cache"][0][2]


def test_models_of_this_machine(run, tmp_path):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "model.safetensors").write_bytes(b"")
    (tmp_path / "state").mkdir()
    models = tmp_path / "state" / "models.toml"
    models.write_text(f'[models.a]\nfolder = "{tmp_path / "here"}"\n[models.b]\nfolder = "{tmp_path / "gone"}"\n')
    assert [line[0] for line in found(run, exit_code=1)["model"]] == ["ok", "fail"]


@pytest.mark.parametrize("content", ["[models", "models = 1", "[models]\na = 1", "[models.a]\n"])
def test_models_that_cannot_be_read(run, tmp_path, content):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "models.toml").write_text(content)
    assert "models.toml" in found(run, exit_code=1)["model"][0][2]


def test_a_gpu_tool_that_hangs_ends_nothing(monkeypatch):
    def hang(*_arguments, **_options):
        raise subprocess.TimeoutExpired("nvidia-smi", 20)

    monkeypatch.setattr("shutil.which", lambda _name: "/usr/bin/nvidia-smi")
    monkeypatch.setattr("subprocess.run", hang)
    assert checks._gpus() == ["nvidia-smi does not answer"]


class Found(NamedTuple):
    """As in workers.attempt.checks.examine, which needs torch."""

    name: str
    state: str
    said: str
    next: str


def test_a_model_is_looked_at_by_name_or_by_folder(run, tmp_path, monkeypatch):
    looked_at = []

    def examine(folder):
        looked_at.append(folder)
        yield ("values", "ok", "3 examples", "")
        yield ("lora", "warn", "no module", "fine-tune in full")

    monkeypatch.setitem(
        sys.modules,
        "workers.attempt.checks.examine",
        SimpleNamespace(examine=lambda folder: map(Found._make, examine(folder))),
    )
    (tmp_path / "tiny").mkdir()
    (tmp_path / "models.toml").write_text(f'[models.tiny]\nfolder = "{tmp_path / "tiny"}"\n')
    monkeypatch.setenv("FORGETCAST_MODELS", str(tmp_path / "models.toml"))
    for model in ("tiny", str(tmp_path / "tiny")):
        result = run("doctor", "--model", model)
        assert result.exit_code == 0, result.output
        assert "ok    values" in result.stdout and "-> fine-tune in full" in result.stdout
    assert looked_at == [tmp_path / "tiny"] * 2
    result = run("doctor", "--model", "huge")
    assert result.exit_code == 1 and "'huge' is no folder" in result.stderr and "there are: tiny" in result.stderr
    assert run("doctor", "--model", "tiny", "--url", "http://localhost").exit_code == 2
