"""An attempt on two devices as its worker sees it: it reports once, saves when asked, says why it failed, and leaves
no process behind. Each starts three processes that import torch: `make test` has one of them, `make zoo` all."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from forgetcast.schemas import Progress
from tests.workers.attempt.test_resume import Job
from tests.workers.attempt.training.test_fine_tune import FULL
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.statuses import LEFT_EARLY
from workers.host.child import Child, ChildEvent, command_on
from workers.host.outcome import Failure, failure_left
from workers.job_directory import read_result, write_file

LONGEST = 120.0  # seconds


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def order(tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Job]:
    return lambda name, **more: Job(tmp_path / name, model_folder, FULL | {"batch_size": 4} | more, monkeypatch)


def followed(child: Child, until: Callable[[Progress], bool] = lambda _event: False) -> list[ChildEvent]:
    """What it says, up to its end or to the first progress that is waited for."""
    said: list[ChildEvent] = []
    ends_at = time.monotonic() + LONGEST
    while child.running and time.monotonic() < ends_at:
        for event in child.events(0.1):
            said.append(event)
            if isinstance(event, Progress) and until(event):
                return said
    return said + child.last_events()


def processes_of(child: Child) -> list[psutil.Process]:
    """Those that train: in sessions of their own, so that no signal to the child's group reaches them."""
    return [one for one in psutil.Process(child.pid).children(recursive=True) if "workers.attempt.run" in one.cmdline()]


def training(event: Progress) -> bool:
    return event.phase == "fine_tune" and event.step >= 2


@pytest.mark.zoo
def test_each_device_saves_when_the_job_is_asked_to_leave(order: Callable[..., Job]) -> None:
    two = order("two", steps=400)
    with Child(two.folder, command_on(2)) as child:
        followed(child, training)
        child.ask_to_leave()
        followed(child)
        assert child.returncode == LEFT_EARLY
    (saved,) = (two.folder / "trainer").glob("checkpoint-*")
    assert (saved / "sealed.json").exists() and (saved / "rng_state_1.pth").exists()


def test_a_job_on_two_devices_has_the_values_of_one(order: Callable[..., Job]) -> None:
    two, one = order("two", steps=4), order("one", steps=4)
    with Child(two.folder, command_on(2)) as child:
        said = followed(child)
        assert child.returncode == 0, (two.folder / "child.log").read_text()
    steps = [event.step for event in said if isinstance(event, Progress) and event.phase == "fine_tune"]
    assert steps == [0, 1, 2, 3, 4]  # told once, by the first
    one.attempt()
    ours, theirs = read_result(two.folder), read_result(one.folder)
    assert ours.before == pytest.approx(theirs.before, abs=1e-6)
    assert ours.after == pytest.approx(theirs.after, abs=1e-4)


@pytest.mark.zoo
def test_one_that_is_killed_ends_all_and_is_named(order: Callable[..., Job]) -> None:
    job = order("job", steps=100_000)
    with Child(job.folder, command_on(2)) as child:
        followed(child, training)
        processes = processes_of(child)
        assert len(processes) == 2
        processes[1].kill()
        followed(child)
        failure = failure_left(child, job.folder)
    assert failure.code == "host_oom", failure
    psutil.wait_procs(processes, 10)
    assert not any(one.is_running() for one in processes)


@pytest.mark.zoo
def test_all_end_with_the_child(order: Callable[..., Job]) -> None:
    job = order("job", steps=100_000)
    with Child(job.folder, command_on(2)) as child:
        followed(child, training)
        processes = processes_of(child)
        assert len(processes) == 2
        child.stop(timedelta(0))
    _gone, left = psutil.wait_procs(processes, 10)
    assert not left


@pytest.mark.zoo
def test_an_error_is_said_once_and_in_its_own_words(order: Callable[..., Job]) -> None:
    job = order("job", packing=True, learning_rate=1.0, num_train_epochs=1e3, steps=None)
    write_file(
        job.folder / "job.json",
        json.dumps(json.loads((job.folder / "job.json").read_text()) | {"max_steps": 5}).encode(),
    )
    with Child(job.folder, command_on(2)) as child:
        followed(child)
        failure = failure_left(child, job.folder)
    assert failure == Failure("limit_exceeded", "these are 3000 steps, and at most 5 are done here")
