"""Attempts that stall, run into a deadline, a full GPU, a damaged model; and a GPU that another worker holds."""

from __future__ import annotations

import shutil
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.faults.deployment import Deployment
from tests.faults.ledger import assert_ended_without_measurement, assert_succeeded_once, error_codes, state
from tests.workers.processes import alive
from tests.workers.supervised import eventually

ONE_GPU = {"FORGETCAST_SIMULATED_GPUS": "1"}


@pytest.mark.fault(11, 42)
def test_a_full_gpu_is_tried_once_more_with_half_the_batch(deployment: Deployment) -> None:
    worker = deployment.worker("--gpus", "0", **ONE_GPU)
    job_id = deployment.submit("fail:gpu_oom")
    assert_ended_without_measurement(deployment, job_id, state="failed", code="gpu_oom")
    assert [start["split"] for start in deployment.starts(job_id)] == [1, 2]
    assert_succeeded_once(deployment, deployment.submit("slow:0"))
    assert worker.running


@pytest.mark.fault(23, 42)
@pytest.mark.parametrize("behaviour", ["hang", "chatter"])
def test_a_child_that_gets_nowhere_is_killed_however_alive_it_seems(deployment: Deployment, behaviour: str) -> None:
    deployment.worker(FORGETCAST_STALL="PT1S")
    job_id = deployment.submit(behaviour)
    assert_ended_without_measurement(deployment, job_id, state="failed", code="attempts_exhausted")
    assert error_codes(deployment.database, job_id)[:2] == ["stalled", "stalled"]
    assert not any(alive(start["pid"]) for start in deployment.starts(job_id))


@pytest.mark.fault(23, 42)
def test_a_job_is_stopped_at_its_deadline(deployment: Deployment) -> None:
    deployment.worker()
    assert_succeeded_once(deployment, deployment.submit("slow:0"))  # the worker is up
    job_id = deployment.submit("slow:600", deadline=datetime.now(UTC) + timedelta(seconds=15))
    pid = deployment.child(job_id)
    assert_ended_without_measurement(deployment, job_id, state="failed", code="deadline")
    assert not alive(pid)


@pytest.mark.fault(37, 42)
@pytest.mark.parametrize(("damage", "code"), [("cut off", "model_mismatch"), ("gone", "model_not_found")])
def test_a_model_whose_files_are_cut_off_or_gone_is_named(deployment: Deployment, damage: str, code: str) -> None:
    """Models are folders that the operator fills; nothing is downloaded here. Their bytes are checked before use."""
    model = private_model(deployment)
    file = model / "model.safetensors"
    whole = file.read_bytes()
    worker = deployment.worker()
    if damage == "cut off":
        file.write_bytes(whole[:10])
    else:
        shutil.rmtree(model)
    assert_ended_without_measurement(deployment, deployment.submit("slow:0"), state="failed", code=code)
    assert deployment.starts() == [] and worker.running
    model.mkdir(exist_ok=True)
    file.write_bytes(whole)
    assert_succeeded_once(deployment, deployment.submit("slow:0"))


def private_model(deployment: Deployment) -> Path:
    """A copy of the model's files for this deployment alone."""
    models = deployment.home / "models.toml"
    shared = Path(models.read_text().partition('folder = "')[2].partition('"')[0])
    own = deployment.home / "model"
    shutil.copytree(shared, own)
    models.write_text(models.read_text().replace(str(shared), str(own)))
    return own


@pytest.mark.fault(41)
def test_a_second_worker_waits_for_the_gpu_and_claims_nothing_meanwhile(deployment: Deployment) -> None:
    go = deployment.home / "go"
    first = deployment.worker("--gpus", "0", **ONE_GPU)
    running = deployment.submit(f"until:{go}")
    pid = deployment.child(running)
    second = deployment.worker("--gpus", "0", **ONE_GPU)
    eventually(lambda: "no job is claimed until one is free" in second.log)
    waiting = deployment.submit("slow:0")
    time.sleep(2)
    assert state(deployment.database, waiting) == "queued"
    first.kill()
    eventually(lambda: not alive(pid), 1)
    assert_succeeded_once(deployment, waiting)
    go.touch()
    assert assert_succeeded_once(deployment, running).attempt == 2
