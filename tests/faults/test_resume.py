"""A real child on a tiny model that is killed while it trains: the next attempt goes on, to the same values."""

from __future__ import annotations

import signal
from pathlib import Path

import numpy as np
import pytest

from tests.faults.deployment import SETTING, Deployment, Running
from tests.faults.ledger import ended, error_codes, events, measurements
from tests.workers.language_models import character_tokenizer, tiny_llama
from tests.workers.supervised import eventually

STEPS = 80
RECIPE = {"method": "full", "learning_rate": 1e-3, "steps": STEPS, "batch_size": 2, "max_tokens": 32}
# A checkpoint at every step, and no weights kept: the second task has the same data and seed as the first.
SETTINGS = {"FORGETCAST_CHECKPOINT": "PT0S", "FORGETCAST_KEEP_WEIGHTS": "PT0S", "OMP_NUM_THREADS": "1"}


@pytest.mark.fault(24)
@pytest.mark.parametrize("end", ["killed", "drained"])
def test_a_job_cut_off_while_it_trains_goes_on_and_ends_with_the_same_values(
    deployment: Deployment, tmp_path: Path, end: str
) -> None:
    api = deployment.api()
    register_model(deployment, tmp_path / "tiny-llama")
    matrix = {"id": "real", "upstream_set": "set", "model": "real", "recipe": RECIPE, "setting": SETTING}
    created = api.request("POST", "/v1/matrices", json=matrix)
    assert created.status_code == 201, created.text
    order = {"matrix": "real", "dataset": api.put_dataset("eleven times two is twenty-two")}
    # One probe more, or the second task would share the first one's job.
    whole, cut = (
        api.request("POST", "/v1/tasks", json=order | {"id": name, "size": size, "priority": priority}).json()["job"]
        for name, size, priority in (("whole", 4, 1), ("cut", 5, 0))
    )
    assert whole != cut
    worker = deployment.command("worker", "--poll", "0.2", **SETTINGS)
    ended(deployment.database, whole, 240)
    eventually(lambda: max(steps(deployment, cut), default=0) >= 0.5 * STEPS, 240)
    stop(worker, end)
    told_before, kept = len(steps(deployment, cut)), newest_checkpoint(deployment, cut)
    assert kept >= 0.45 * STEPS
    deployment.command("worker", "--poll", "0.2", **SETTINGS)
    job = ended(deployment.database, cut, 240)
    assert (job.state, job.attempt) == ("succeeded", 2 if end == "killed" else 1)
    assert error_codes(deployment.database, cut) == (["worker_lost"] if end == "killed" else [])
    again = [step for step in steps(deployment, cut)[told_before:] if step > 0]
    assert again and min(again) >= kept
    before, after = (cells(deployment, job_id) for job_id in (whole, cut))
    assert set(before) <= set(after)
    assert max(map(abs, before.values())) > 1e-3
    assert [after[position] for position in before] == pytest.approx(list(before.values()), abs=1e-6)


def cells(deployment: Deployment, job_id: str) -> dict[int, float]:
    """What a job measured, by position."""
    (found,) = measurements(deployment.database, job_id)
    forgetting = np.frombuffer(found.forgetting, "<f4")
    positions = range(forgetting.size) if found.positions is None else np.frombuffer(found.positions, "<i4").tolist()
    return dict(zip(positions, forgetting.tolist(), strict=True))


def register_model(deployment: Deployment, folder: Path) -> None:
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    with (deployment.home / "models.toml").open("a") as models:
        models.write(f'\n[models.real]\nfolder = "{folder}"\n')


def steps(deployment: Deployment, job_id: str) -> list[int]:
    """The steps of fine-tuning that were told, in order."""
    return [event["step"] for event in events(deployment.database, job_id) if event.get("phase") == "fine_tune"]


def newest_checkpoint(deployment: Deployment, job_id: str) -> int:
    """The step of the newest whole checkpoint on this host."""
    kept = (deployment.home / "cache" / "jobs" / job_id).rglob("checkpoint-*/sealed.json")
    return max(int(seal.parent.name.rpartition("-")[2]) for seal in kept)


def stop(worker: Running, end: str) -> None:
    if end == "killed":
        worker.kill()
    else:
        worker.send(signal.SIGTERM)
        assert worker.process.wait(60) == 0
