"""The child: one attempt at one job. A job directory in, blocks and a result out, events as JSON lines on stdout.

    python -m workers.attempt.run JOB_DIRECTORY

It holds no lease and no secret, and may be killed at any moment. It ends with its parent: end of file on stdin ends it.
"""

from __future__ import annotations

import errno
import gc
import json
import os
import shutil
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if __name__ == "__main__":
    gc.disable()  # until all is imported: 2.7 s of processor time, and not 4.4

import numpy as np
import torch
from torch.utils import deterministic
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from forgetcast import layouts
from forgetcast.errors import ForgetcastError, NothingToScore
from workers.attempt.control import check_control, read_control
from workers.attempt.conversations import check_template
from workers.attempt.examples import read_dataset, read_upstream
from workers.attempt.fine_tune import WoundDown, fine_tune
from workers.attempt.kept_way import examined
from workers.attempt.kept_weights import Tuned, keep, load_kept
from workers.attempt.limits import check_recipe, limits_of
from workers.attempt.measuring import measure_blocks
from workers.attempt.model_folder import load_model
from workers.attempt.scorer import TransformersScorer
from workers.attempt.sealed import Checkpoints, remove_unsealed
from workers.attempt.token_budget import tokens_per_batch
from workers.attempt.tokens import Tokens
from workers.job_directory import JobOrder, digest_of, write_file, write_result
from workers.parent import die_with_parent

DISK_FULL, LEFT_EARLY = 74, 75  # exit statuses; EX_IOERR and EX_TEMPFAIL of sysexits.h
ALMOST_NOTHING = 1 << 16  # bytes free on a disk that is full


class Reporter:
    """Events to the supervisor: which phase, how far, and how long each phase took."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[..., None]]:
        began = time.monotonic()

        def step(done: int, loss: float | None = None) -> None:
            elapsed = time.monotonic() - began
            eta = elapsed / done * (total - done) if done else None
            self.send({"phase": name, "step": done, "total": total, "loss": loss, "eta_s": eta})

        step(0)
        yield step
        self.seconds[name] = round(time.monotonic() - began, 3)

    def warn(self, message: str) -> None:
        self.send({"level": "warn", "message": message})

    def send(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def run(folder: Path, reporter: Reporter) -> None:
    """Fine-tune and measure as job.json orders, going on after what an earlier attempt has left.

    Raises
    ------
    WoundDown : the attempt was asked to leave; what it made is in the folder
    """
    order = JobOrder.read(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with reporter.phase("load", 1) as step:
        model, tokenizer = load_model(Path(order.model_folder), device)
        recipe, setting = order.recipe, order.setting
        check_template(tokenizer, setting["chat_template_sha256"])
        dataset = read_dataset(folder / "dataset.jsonl", tokenizer, recipe, reporter.warn)
        upstream = read_upstream(folder / "upstream.jsonl", tokenizer, setting)
        control = read_control(folder / "control.json", tokenizer, setting)
        limits = limits_of(model)
        limits.check((("an example of the data set", tokens) for tokens in dataset), "the recipe's max_tokens")
        limits.check(
            ((f"the upstream example {name!r}", tokens) for name, tokens in upstream.named), "the setting's max_tokens"
        )
        check_recipe(model, recipe)
        step(1)
    with reporter.phase("examine", 1) as step:
        of = (order.model_revision, _versions(), _device_name(device))
        way = examined(model, Path(order.ways_folder) if order.ways_folder else None, of)
        step(1)
    if way.reading.alone or not way.reading.shares_prefix:
        reporter.warn(f"{type(model).__name__} is read by {way.reading.said}: its own values ask for it")
    for told in (upstream.left_out(), upstream.cut(setting["max_tokens"])):
        if told:
            reporter.warn(told)
    leaving = _leave_when_asked()

    scorer = TransformersScorer(
        way.model(model, getattr(torch, setting["dtype"])), tokens_per_batch(model, device) // order.split
    )
    measure = partial(
        measure_blocks,
        folder,
        scorer=scorer,
        upstream=upstream,
        after_block=partial(_leave, leaving),
    )
    before = np.load(folder / "before.npy", allow_pickle=False)
    n_missing = int(np.isnan(before).sum())
    with reporter.phase("base", n_missing) if n_missing else nullcontext(_say_nothing) as step:
        measure("before", known=before, weights=order.model_revision, on_progress=step)
    if len(upstream.why_not) == len(upstream):
        raise NothingToScore(upstream.left_out())
    check = None if control is None else partial(check_control, control, scorer)
    tuned = _fine_tuned(folder, order, model, dataset, reporter, leaving, check)
    with reporter.phase("measure", len(upstream)) as step:
        measure("after", known=np.full_like(before, np.nan), weights=tuned.weights_sha256, on_progress=step)
    write_result(
        folder,
        {
            "seconds": reporter.seconds,
            "losses": tuned.losses,
            "seed": order.seed,
            "device": _device_name(device),
            "versions": _versions(),
        },
    )


def _fine_tuned(
    folder: Path,
    order: JobOrder,
    model: PreTrainedModel,
    dataset: Sequence[Tokens],
    reporter: Reporter,
    leaving: threading.Event,
    check: Callable[[], None] | None,
) -> Tuned:
    """Train the model in place, unless its weights are kept from before. `check` of a task that has cells already: it
    raises when they would come out otherwise now."""
    kept, made_for = Path(order.weights_folder), digest_of(order.training_sha256, _versions())
    tuned = load_kept(model, order.recipe, kept, made_for)
    if tuned is not None:
        reporter.send({"level": "info", "message": "the fine-tuned weights of an earlier attempt or job are used"})
        return tuned
    if check is not None:
        reporter.warn("the task's fine-tuned weights are not here any more: fine-tuning is repeated, and cells checked")
    checkpoints = Checkpoints(folder / "trainer", made_for, timedelta(seconds=order.checkpoint_seconds))
    newest = checkpoints.newest()
    if newest is not None:
        reporter.send({"level": "info", "message": f"fine-tuning goes on from {newest.name}"})
    with reporter.phase("fine_tune", order.recipe["steps"]) as step:
        trained = fine_tune(
            model,
            dataset,
            order.recipe,
            seed=order.seed,
            scratch=checkpoints.folder,
            split=order.split,
            on_step=step,
            checkpoints=checkpoints,
            leaving=leaving.is_set,
        )
    if check is not None:
        check()
    with reporter.phase("keep", 1) as step:
        tuned = keep(trained, kept, made_for)
        step(1)
    shutil.rmtree(checkpoints.folder, ignore_errors=True)
    return tuned


def _versions() -> dict[str, str]:
    """Of what decides how the same bytes are read and learned from."""
    return {name: version(name) for name in ("torch", "transformers", "peft")} | {"layouts": str(layouts.VERSION)}


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


def _leave_when_asked() -> threading.Event:
    """An event that SIGUSR1 sets: save what there is, and end. Before this call the signal ends the process at once."""
    leaving = threading.Event()
    signal.signal(signal.SIGUSR1, lambda _number, _frame: leaving.set())
    return leaving


def _leave(leaving: threading.Event) -> None:
    if leaving.is_set():
        raise WoundDown("ended after a block")


def _say_nothing(n_done: int) -> None:
    """The progress of a phase that has nothing to do."""


def main() -> int:
    """Exit status: 0 done, 1 failed for a reason in error.json, 74 the disk is full, 75 left early when asked to."""
    folder = Path(sys.argv[1])
    # Libraries print to stdout; events must stay the only thing there.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    die_with_parent()
    transformers_logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against bugs that are not ours, and costs a fifth of the time.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set through __setattr__
    try:
        run(folder, Reporter(events))
    except WoundDown:
        return LEFT_EARLY
    except Exception as error:
        traceback.print_exc()
        code, detail = describe(error, folder)
        try:
            remove_unsealed(folder / "trainer")
            write_file(folder / "error.json", json.dumps({"code": code, "detail": detail}).encode())
        except OSError:
            return DISK_FULL
        return 1
    return 0


def describe(error: Exception, folder: Path) -> tuple[str, str]:
    """The code and the detail of what went wrong in an attempt."""
    if isinstance(error, ForgetcastError):
        return error.code, str(error)
    if _is_disk_full(error, folder):
        return "disk_full", "no space is left in the worker's cache folder"
    if isinstance(error, torch.OutOfMemoryError):
        return "gpu_oom", "the GPU ran out of memory; lower the recipe's batch_size or max_tokens"
    if isinstance(error, OSError):
        return "io", f"{type(error).__name__}: {error}"
    return "internal", f"{type(error).__name__}: {error}"


def _is_disk_full(error: Exception, folder: Path) -> bool:
    """Also said by torch and safetensors, which have errors of their own for it."""
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT)
    said = any(words in str(error) for words in ("No space left", "file write failed", "unexpected pos"))
    return said or shutil.disk_usage(folder).free < ALMOST_NOTHING


if __name__ == "__main__":
    gc.freeze()  # what was imported lasts until the end
    gc.enable()
    sys.exit(main())
