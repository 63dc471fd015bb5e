"""The child: one attempt at one job. A job directory in, blocks and a result out, events as JSON lines on stdout.

    python -m workers.attempt.run JOB_DIRECTORY

It holds no lease and no secret, and may be killed at any moment. It ends with its parent: end of file on stdin ends it.
"""

from __future__ import annotations

import errno
import gc
import io
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
from forgetcast.errors import ForgetcastError, LimitExceeded, NothingToScore
from forgetcast.recipe_defaults import n_steps
from workers.attempt.control import check_control, read_control
from workers.attempt.conversations import check_template
from workers.attempt.examples import read_dataset, read_upstream
from workers.attempt.fine_tune import WoundDown, fine_tune, rows_of
from workers.attempt.kept_weights import Tuned, keep, load_kept
from workers.attempt.limits import check_recipe, limits_of
from workers.attempt.loading import Loading
from workers.attempt.measuring import measure_blocks
from workers.attempt.memory import Room
from workers.attempt.model_folder import load_model
from workers.attempt.ranks import ALONE, Ranks, lost_another
from workers.attempt.sealed import Checkpoints, remove_unsealed
from workers.attempt.self_check import check_trains, way_to_read
from workers.attempt.statuses import DISK_FULL, LEFT_EARLY
from workers.attempt.tokens import Tokens
from workers.job_directory import JobOrder, digest_of, write_file, write_result
from workers.parent import die_with_parent

ALMOST_NOTHING = 1 << 16  # bytes free on a disk that is full
TOKENS_PER_BATCH = {"cpu": 2048, "cuda": 65536}


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


def run(folder: Path, reporter: Reporter, ranks: Ranks = ALONE) -> None:
    """Fine-tune and measure as job.json orders, going on after what an earlier attempt has left.

    Raises
    ------
    WoundDown : the attempt was asked to leave; what it made is in the folder
    """
    order = JobOrder.read(folder)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    with reporter.phase("load", 1) as step:
        recipe, setting = order.recipe, order.setting
        room = Room.of(device, ranks, split=order.split)
        room.check_weights(Path(order.model_folder), recipe)
        model, tokenizer = load_model(Path(order.model_folder), device, Loading.of(recipe))
        check_template(tokenizer, setting["chat_template_sha256"])
        dataset = read_dataset(folder / "dataset.jsonl", tokenizer, recipe, reporter.warn)
        upstream = read_upstream(folder / "upstream.jsonl", tokenizer, setting)
        control = read_control(folder / "control.json", tokenizer, setting)
        limits = limits_of(model)
        limits.check((("an example of the data set", tokens) for tokens in dataset), "the recipe's max_tokens")
        limits.check(
            ((f"the upstream example {name!r}", tokens) for name, tokens in upstream.named), "the setting's max_tokens"
        )
        longest = max(map(len, dataset))
        check_recipe(model, recipe, longest)
        room.check(model, recipe, longest)
        n_updates = n_steps(recipe, len(rows_of(dataset, recipe)))
        if n_updates > order.max_steps:
            raise LimitExceeded(f"these are {n_updates} steps, and at most {order.max_steps} are done here")
        way = way_to_read(model)
        check_trains(model)
        step(1)
    if way.reading.alone or not way.reading.shares_prefix:
        reporter.warn(f"{type(model).__name__} is read by {way.reading.said}: its own values ask for it")
    for told in (upstream.left_out(), upstream.cut(setting["max_tokens"])):
        if told:
            reporter.warn(told)
    leaving = _leave_when_asked()
    train = partial(_fine_tuned, folder, order, model, dataset, n_updates, reporter, leaving, ranks)
    if not ranks.first:
        train(None)
        return

    measured = way.model(model, getattr(torch, setting["dtype"]))
    tokens_per_batch = TOKENS_PER_BATCH[device.type] // order.split
    measure = partial(
        measure_blocks,
        folder,
        model=measured,
        upstream=upstream,
        tokens_per_batch=tokens_per_batch,
        after_block=partial(_leave, leaving),
    )
    before = np.load(folder / "before.npy", allow_pickle=False)
    n_missing = int(np.isnan(before).sum())
    with reporter.phase("base", n_missing) if n_missing else nullcontext(_say_nothing) as step:
        measure("before", known=before, weights=order.model_revision, on_progress=step)
    if len(upstream.why_not) == len(upstream):
        raise NothingToScore(upstream.left_out())
    check = None if control is None else partial(check_control, control, measured, tokens_per_batch)
    tuned = train(check)
    assert tuned is not None
    with reporter.phase("measure", len(upstream)) as step:
        measure("after", known=np.full_like(before, np.nan), weights=tuned.weights_sha256, on_progress=step)
    write_result(
        folder,
        {
            "seconds": reporter.seconds,
            "losses": tuned.losses,
            "seed": order.seed,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "versions": _versions(),
        },
    )


def _fine_tuned(
    folder: Path,
    order: JobOrder,
    model: PreTrainedModel,
    dataset: Sequence[Tokens],
    n_updates: int,
    reporter: Reporter,
    leaving: threading.Event,
    ranks: Ranks,
    check: Callable[[], None] | None,
) -> Tuned | None:
    """Train the model in place, unless its weights are kept from before. `check` of a task that has cells already: it
    raises when they would come out otherwise now. None for all but the first of several processes."""
    kept, made_for = Path(order.weights_folder), digest_of(order.training_sha256, _versions())
    tuned = load_kept(model, order.recipe, kept, made_for) if ranks.first else None
    if ranks.told(tuned is not None):
        ranks.part()
        reporter.send({"level": "info", "message": "the fine-tuned weights of an earlier attempt or job are used"})
        return tuned
    if check is not None:
        reporter.warn("the task's fine-tuned weights are not here any more: fine-tuning is repeated, and cells checked")
    of_trainer = made_for if ranks.size == 1 else digest_of(made_for, ranks.size)
    checkpoints = Checkpoints(folder / "trainer", of_trainer, timedelta(seconds=order.checkpoint_seconds))
    newest = checkpoints.newest() if ranks.first else None
    if newest is not None:
        reporter.send({"level": "info", "message": f"fine-tuning goes on from {newest.name}"})
    with reporter.phase("fine_tune", n_updates) as step:
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
            ranks=ranks,
        )
    ranks.part()
    if not ranks.first:
        return None
    if check is not None:
        check()
    tuned = keep(trained, kept, made_for)
    shutil.rmtree(checkpoints.folder, ignore_errors=True)
    return tuned


def _versions() -> dict[str, str]:
    """Of what decides how the same bytes are read and learned from."""
    return {name: version(name) for name in ("torch", "transformers", "peft")} | {"layouts": str(layouts.VERSION)}


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
    ranks = Ranks.joined()
    try:
        run(folder, Reporter(events if ranks.first else io.StringIO()), ranks)
    except WoundDown:
        return LEFT_EARLY
    except Exception as error:
        traceback.print_exc()
        if ranks.size > 1 and (lost_another(error) or (folder / "error.json").exists()):
            return 1  # the first that failed has said why
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
