"""What an attempt leaves, the next one on the same host goes on from, to the values of a run without interruption."""

from __future__ import annotations

import io
import json
import shutil
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from forgetcast.errors import ForgetcastError, NothingToScore, NotReproducible
from tests.workers.attempt.training.test_fine_tune import FULL, LORA
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.reporter import Reporter
from workers.attempt.run import run
from workers.attempt.texts.tokens import Tokens, encode
from workers.attempt.training.fine_tune import WoundDown, fine_tune
from workers.attempt.training.sealed import Checkpoints, seal
from workers.job_directory import JobOrder, JobResult, Values, read_base_values, read_result, write_file

ALWAYS = timedelta(0)
N_EXAMPLES, BLOCK = 7, 3
SETTING = {"scored": "response", "max_tokens": 32, "dtype": "float32", "chat_template_sha256": None}
LORA_WITH_DROPOUT = LORA | {"lora": LORA["lora"] | {"dropout": 0.2}}


@pytest.fixture
def task() -> list[Tokens]:
    tokenizer = character_tokenizer()
    lines = [{"prompt": f"{n} times two is ", "completion": f"{2 * n}."} for n in range(10, 20)]
    return [encode(tokenizer, line, scored="response", max_tokens=32) for line in lines]


def trained_until(step: int, task: list[Tokens], recipe: dict[str, Any], folder: Path, split: int = 1) -> None:
    """Run up to this step, and leave when asked."""
    seen: list[int] = []
    with pytest.raises(WoundDown, match=f"step {step}"):
        fine_tune(
            tiny_llama(),
            task,
            recipe,
            seed=3,
            scratch=folder,
            split=split,
            on_step=lambda done, loss: seen.append(done),
            checkpoints=Checkpoints(folder, "order", ALWAYS),
            leaving=lambda: len(seen) >= step - 1,  # asked before the loss of the step is told
        )


def trained(
    task: list[Tokens], recipe: dict[str, Any], folder: Path, split: int = 1
) -> tuple[dict[str, torch.Tensor], tuple[float, ...], list[int]]:
    """Weights, losses, and the steps that were done in this run."""
    steps: list[int] = []
    tuned = fine_tune(
        tiny_llama(),
        task,
        recipe,
        seed=3,
        scratch=folder,
        split=split,
        on_step=lambda done, loss: steps.append(done),
        checkpoints=Checkpoints(folder, "order", ALWAYS),
    )
    return {name: value.detach() for name, value in tuned.trained.named_parameters()}, tuned.losses, steps


@pytest.mark.parametrize("recipe", [FULL, LORA_WITH_DROPOUT], ids=["full", "lora"])
@pytest.mark.parametrize("step", [2, 3, 5], ids=["in an epoch", "between two", "in a later one"])
def test_fine_tuning_goes_on_from_its_checkpoint_as_if_nothing_had_happened(
    task: list[Tokens], recipe: dict[str, Any], step: int, tmp_path: Path
) -> None:
    recipe = recipe | {"steps": 7, "batch_size": 4}  # 3 steps an epoch
    whole, losses, _ = trained(task, recipe, tmp_path / "whole")
    trained_until(step, task, recipe, tmp_path / "cut")
    assert [path.name for path in (tmp_path / "cut").iterdir()] == [f"checkpoint-{step}"]
    resumed, all_losses, steps = trained(task, recipe, tmp_path / "cut")
    assert steps == list(range(step + 1, 8))
    assert all_losses == pytest.approx(losses, abs=1e-6)
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, atol=1e-6, rtol=0)


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


class Job:
    """A job directory, and attempts at it that may be asked to leave at some point."""

    def __init__(self, folder: Path, model_folder: Path, recipe: dict[str, Any], monkeypatch: pytest.MonkeyPatch):
        self.folder, self._monkeypatch = folder, monkeypatch
        folder.mkdir()
        order = JobOrder(
            job_id="job_1",
            attempt=1,
            fence=1,
            model_folder=str(model_folder),
            model_revision="r",
            recipe=recipe,
            setting=SETTING,
            seed=3,
            dataset_sha256="d",
            weights_folder=str(folder.parent / f"{folder.name}-weights"),
            checkpoint_seconds=0.0,
        )
        order.write(folder)
        lines = [{"prompt": f"{n} plus one is ", "completion": f"{n + 1}."} for n in range(10, 20)]
        (folder / "dataset.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        upstream = [{"id": f"up-{n}", "text": f"example {'abcdefg'[n]}"} for n in range(N_EXAMPLES)]
        (folder / "upstream.jsonl").write_text("".join(json.dumps(line) + "\n" for line in upstream))
        np.save(folder / "before.npy", np.full(N_EXAMPLES, np.nan, np.float32))

    def attempt(self, leave_at: tuple[str, int] | None = None) -> list[dict[str, Any]]:
        """Run the child's work; what it said. `leave_at`: the phase and step at which it is asked to leave."""
        said: list[dict[str, Any]] = []
        leaving = threading.Event()

        class Out(io.StringIO):
            def write(self, text: str) -> int:
                event = json.loads(text)
                said.append(event)
                if leave_at is not None and (event.get("phase"), event.get("step")) == leave_at:
                    leaving.set()
                return len(text)

        self._monkeypatch.setattr("workers.attempt.run._leave_when_asked", lambda: leaving)
        if leave_at is None:
            run(self.folder, Reporter(Out()))
        else:
            with pytest.raises(WoundDown):
                run(self.folder, Reporter(Out()))
        return said

    def result(self) -> JobResult:
        return read_result(self.folder)


@pytest.fixture
def make_job(
    tmp_path: Path, model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str, dict[str, Any]], Job]:
    monkeypatch.setattr("workers.attempt.measuring.measure_blocks.BLOCK_SIZE", BLOCK)
    return lambda name, recipe: Job(tmp_path / name, model_folder, recipe, monkeypatch)


def steps_of(said: list[dict[str, Any]], phase: str) -> list[int]:
    return [event["step"] for event in said if event.get("phase") == phase]


def same(one: JobResult, other: JobResult) -> None:
    np.testing.assert_allclose(one.before, other.before, atol=1e-6)
    np.testing.assert_allclose(one.after, other.after, atol=1e-6)
    assert one.report["losses"] == pytest.approx(other.report["losses"], abs=1e-6)


@pytest.mark.parametrize("recipe", [FULL, LORA_WITH_DROPOUT], ids=["full", "lora"])
def test_a_job_that_is_cut_off_in_every_phase_ends_with_the_values_of_one_that_is_not(make_job, recipe):
    whole, cut = make_job("whole", recipe), make_job("cut", recipe)
    said = whole.attempt()
    assert steps_of(said, "fine_tune")[-1] == recipe["steps"] and steps_of(said, "measure")[-1] == N_EXAMPLES
    assert np.abs(whole.result().after - whole.result().before).max() > 1e-3

    cut.attempt(leave_at=("base", BLOCK))
    assert not (cut.folder / "trainer").exists()
    said = cut.attempt(leave_at=("fine_tune", 1))
    assert steps_of(said, "base")[1] == BLOCK  # the first block was there
    said = cut.attempt(leave_at=("measure", BLOCK))
    assert steps_of(said, "fine_tune")[1] == 3  # the checkpoint holds two steps
    assert not (cut.folder / "result.json").exists()
    said = cut.attempt()
    assert steps_of(said, "fine_tune") == []
    assert "the fine-tuned weights of an earlier attempt or job are used" in [event.get("message") for event in said]
    same(cut.result(), whole.result())


def test_a_damaged_checkpoint_is_no_failure_but_a_fresh_start(make_job):
    whole, cut = make_job("whole", FULL), make_job("cut", FULL)
    whole.attempt()
    cut.attempt(leave_at=("fine_tune", 1))
    (checkpoint,) = (cut.folder / "trainer").iterdir()
    flip_a_bit(checkpoint / "optimizer.pt")
    said = cut.attempt()
    assert steps_of(said, "fine_tune") == [0, 1, 2, 3, 4]
    same(cut.result(), whole.result())


def test_damaged_weights_and_blocks_are_made_again(make_job):
    job = make_job("job", FULL)
    job.attempt()
    first = job.result()
    flip_a_bit(job.folder / "blocks" / "after-00001.npy")
    with pytest.raises(ValueError, match="after-00001"):
        job.result()
    assert steps_of(job.attempt(), "fine_tune") == []
    same(job.result(), first)
    flip_a_bit(Path(f"{job.folder}-weights") / "weights.safetensors")
    assert steps_of(job.attempt(), "fine_tune") == [0, 1, 2, 3, 4]
    same(job.result(), first)


def test_what_another_order_has_left_is_not_used(make_job):
    job = make_job("job", FULL)
    job.attempt()
    order = json.loads((job.folder / "job.json").read_bytes())
    write_file(job.folder / "job.json", json.dumps(order | {"seed": 4}).encode())
    with pytest.raises(ValueError, match="another order"):
        job.result()
    assert steps_of(job.attempt(), "fine_tune") == [0, 1, 2, 3, 4]
    assert steps_of(job.attempt(), "fine_tune") == []


def test_only_the_newest_whole_checkpoint_is_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, "order", ALWAYS)
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "weights").write_bytes(b"w")
    assert checkpoints.newest() is None and list(tmp_path.iterdir()) == []
    for step in (9, 10):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "training_args.bin").write_bytes(b"pickled")
        seal(tmp_path / f"checkpoint-{step}", "order")
    assert Checkpoints(tmp_path, "another order", ALWAYS).newest() is None
    (tmp_path / "checkpoint-11").mkdir()
    checkpoints.keep(11)
    assert checkpoints.newest() == tmp_path / "checkpoint-11"
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-11"]


def test_a_checkpoint_is_made_no_more_often_than_it_pays(tmp_path, monkeypatch):
    clock = [1000.0]
    monkeypatch.setattr("workers.attempt.training.sealed.time.monotonic", lambda: clock[0])
    checkpoints = Checkpoints(tmp_path, "order", timedelta(seconds=10))
    assert not checkpoints.due()
    clock[0] += 10
    assert checkpoints.due()
    (tmp_path / "checkpoint-1").mkdir()
    clock[0] += 2  # it took two seconds, so the next comes after forty
    checkpoints.keep(1)
    clock[0] += 39
    assert not checkpoints.due()
    clock[0] += 1
    assert checkpoints.due()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def give_control(job: Job, forgetting_of: Callable[[JobResult], Values]) -> None:
    """Three cells of the job's own result as what was measured before; the weights and the rest are gone."""
    result = job.result()
    examples = [json.loads(line) for line in (job.folder / "upstream.jsonl").read_text().splitlines()]
    forgetting = forgetting_of(result)
    cells = [
        {"example": examples[n], "before": float(result.before[n]), "forgetting": float(forgetting[n])}
        for n in (0, 3, 6)
    ]
    write_file(job.folder / "control.json", json.dumps(cells).encode())
    shutil.rmtree(f"{job.folder}-weights")
    (job.folder / "result.json").unlink()


def test_fine_tuning_that_is_repeated_is_said_before_and_checked_by_cells_that_were_measured(make_job):
    job = make_job("job", FULL)
    job.attempt()
    first = job.result()
    give_control(job, lambda result: result.after - result.before)
    said = job.attempt()
    told = next(place for place, event in enumerate(said) if "fine-tuning is repeated" in event.get("message", ""))
    assert told < next(place for place, event in enumerate(said) if event.get("phase") == "fine_tune")
    same(job.result(), first)
    assert "fine-tuning is repeated" not in str(job.attempt())  # now the weights are there


def test_fine_tuning_that_comes_to_another_model_leaves_no_result(make_job):
    job = make_job("job", FULL)
    job.attempt()
    give_control(job, lambda result: result.after - result.before + np.float32(0.1))
    with pytest.raises(NotReproducible, match=r"up to 0\.1"):
        job.attempt()
    assert not (job.folder / "result.json").exists() and not Path(f"{job.folder}-weights").exists()


def test_an_example_with_nothing_to_score_is_marked_and_stops_no_other(make_job):
    job = make_job("job", FULL)
    upstream = (job.folder / "upstream.jsonl").read_text().splitlines()
    upstream[2] = json.dumps({"id": "one token", "text": "x"})
    (job.folder / "upstream.jsonl").write_text("\n".join(upstream) + "\n")
    said = job.attempt()
    assert any("the first is 'one token': it is a single token" in event.get("message", "") for event in said)
    result = job.result()
    assert [np.flatnonzero(np.isposinf(values)).tolist() for values in (result.before, result.after)] == [[2], [2]]
    assert np.isfinite(np.delete(result.after, 2)).all()


def test_a_job_of_nothing_that_can_be_scored_ends_before_it_trains_and_leaves_the_marks(make_job):
    job = make_job("job", FULL)
    lines = [json.dumps({"id": f"up-{n}", "text": "x"}) for n in range(N_EXAMPLES)]
    (job.folder / "upstream.jsonl").write_text("\n".join(lines) + "\n")
    with pytest.raises(NothingToScore, match="the first is 'up-0'"):
        job.attempt()
    assert np.isposinf(read_base_values(job.folder)).all()


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"lora": LORA["lora"] | {"target_modules": ["no_such_proj"]}}, "not_for_model"),
        ({"lora": LORA["lora"] | {"target_modules": ["norm"]}}, "not_for_model"),
        ({"max_tokens": 2048}, "not_for_model"),
    ],
    ids=["no such module", "no adapter", "beyond the positions"],
)
def test_what_the_model_does_not_have_is_said_before_the_base_is_measured(
    model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], code: str
) -> None:
    job = Job(tmp_path / "job", model_folder, LORA | changes, monkeypatch)
    with (job.folder / "dataset.jsonl").open("a") as lines:
        lines.write(json.dumps({"prompt": "long ", "completion": "x" * 300}) + "\n")
    with pytest.raises(ForgetcastError) as caught:
        job.attempt()
    assert caught.value.code == code
    assert not (job.folder / "blocks").exists()
