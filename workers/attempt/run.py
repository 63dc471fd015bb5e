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
import traceback
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from functools import partial
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
if __name__ == "__main__":
    gc.disable()  # until all is imported: 2.7 s of processor time, and not 4.4

import numpy as np
import torch
from torch.utils import deterministic
from transformers.utils import logging as transformers_logging

from forgetcast.errors import ForgetcastError, NothingToScore
from workers.attempt.measuring.control import check_control
from workers.attempt.measuring.measure_blocks import measure_blocks
from workers.attempt.prepared import Prepared, device_name, prepare, versions
from workers.attempt.reporter import Reporter
from workers.attempt.statuses import DISK_FULL, LEFT_EARLY
from workers.attempt.training.fine_tune import FineTuned, WoundDown, fine_tune
from workers.attempt.training.kept_weights import Tuned, keep, load_kept
from workers.attempt.training.ranks import ALONE, Ranks, lost_another
from workers.attempt.training.sealed import Checkpoints, remove_unsealed
from workers.job_directory import JobOrder, digest_of, write_file, write_result
from workers.parent import die_with_parent

TRAINER = "trainer"  # where in a job directory checkpoints lie
ALMOST_NOTHING = 1 << 16  # bytes free on a disk that is full


def run(folder: Path, reporter: Reporter, ranks: Ranks = ALONE) -> None:
    """Fine-tune and measure as job.json orders, going on after what an earlier attempt has left.

    Raises
    ------
    WoundDown : the attempt was asked to leave; what it made is in the folder
    """
    order = JobOrder.read(folder)
    prepared = prepare(folder, order, reporter, ranks)
    leaving = _leave_when_asked()
    train = partial(_fine_tuned, folder, order, prepared, reporter, leaving, ranks)
    if not ranks.first:
        train(None)
        return
    scorer, upstream = prepared.scorer, prepared.upstream
    measure = partial(measure_blocks, folder, scorer=scorer, upstream=upstream, after_block=partial(_leave, leaving))
    before = np.load(folder / "before.npy", allow_pickle=False)
    n_missing = int(np.isnan(before).sum())
    with reporter.phase("base", n_missing) if n_missing else nullcontext(_say_nothing) as step:
        measure("before", known=before, weights=order.model_revision, on_progress=step)
    if len(upstream.why_not) == len(upstream):
        raise NothingToScore(upstream.left_out())
    tuned = train(None if prepared.control is None else partial(check_control, prepared.control, scorer))
    assert tuned is not None
    with reporter.phase("measure", len(upstream)) as step:
        measure("after", known=np.full_like(before, np.nan), weights=tuned.weights_sha256, on_progress=step)
    write_result(
        folder,
        {
            "seconds": reporter.seconds,
            "losses": tuned.losses,
            "seed": order.seed,
            "device": device_name(prepared.model.device),
            "versions": versions(),
            "engine": scorer.engine,
        },
    )


def _fine_tuned(
    folder: Path,
    order: JobOrder,
    prepared: Prepared,
    reporter: Reporter,
    leaving: threading.Event,
    ranks: Ranks,
    check: Callable[[], None] | None,
) -> Tuned | None:
    """Train the model in place, unless its weights are kept from before. `check` of a task that has cells already: it
    raises when they would come out otherwise now. None for all but the first of several processes."""
    kept, made_for = Path(order.weights_folder), digest_of(order.training_sha256, versions())
    tuned = load_kept(prepared.model, order.recipe, kept, made_for) if ranks.first else None
    if ranks.told(tuned is not None):
        ranks.part()
        reporter.tell("the fine-tuned weights of an earlier attempt or job are used")
        return tuned
    if check is not None:
        reporter.warn("the task's fine-tuned weights are not here any more: fine-tuning is repeated, and cells checked")
    trained = _trained(folder, order, prepared, reporter, leaving, ranks, made_for)
    ranks.part()
    if not ranks.first:
        return None
    if check is not None:
        check()
    with reporter.phase("keep", 1) as step:
        tuned = keep(trained, kept, made_for)
        step(1)
    shutil.rmtree(folder / TRAINER, ignore_errors=True)
    return tuned


def _trained(
    folder: Path,
    order: JobOrder,
    prepared: Prepared,
    reporter: Reporter,
    leaving: threading.Event,
    ranks: Ranks,
    made_for: str,
) -> FineTuned:
    """Fine-tune from the newest checkpoint on, if there is one of this order."""
    of_trainer = made_for if ranks.size == 1 else digest_of(made_for, ranks.size)
    checkpoints = Checkpoints(folder / TRAINER, of_trainer, timedelta(seconds=order.checkpoint_seconds))
    newest = checkpoints.newest() if ranks.first else None
    if newest is not None:
        reporter.tell(f"fine-tuning goes on from {newest.name}")
    with reporter.phase("fine_tune", prepared.n_updates) as step:
        return fine_tune(
            prepared.model,
            prepared.dataset,
            order.recipe,
            seed=order.seed,
            scratch=checkpoints.folder,
            split=order.split,
            on_step=step,
            checkpoints=checkpoints,
            leaving=leaving.is_set,
            ranks=ranks,
        )


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
            remove_unsealed(folder / TRAINER)
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
