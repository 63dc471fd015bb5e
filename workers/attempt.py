"""The child: one attempt at one job. A job directory in, blocks and a result out, events as JSON lines on stdout.

    python -m workers.attempt JOB_DIRECTORY

It holds no lease and no secret, and may be killed at any moment. It ends with its parent: end of file on stdin ends it.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TextIO

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import torch
from torch.utils import deterministic
from transformers.utils import logging as transformers_logging

from forgetcast.errors import BadDataset, ForgetcastError, NotFinite
from workers.fine_tune import fine_tune
from workers.job_directory import BLOCK_SIZE, JobOrder, Values, write_block, write_file, write_result
from workers.language_model import LanguageModel, TransformersModel, load_model
from workers.log_perplexity import log_perplexity
from workers.tokens import Tokenizer, Tokens, encode

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

    def send(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()


def run(folder: Path, reporter: Reporter) -> None:
    """Fine-tune and measure as job.json orders."""
    order = JobOrder.read(folder)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    with reporter.phase("load", 1) as step:
        model, tokenizer = load_model(Path(order.model_folder), device)
        recipe, setting = order.recipe, order.setting
        dataset = _read_dataset(folder / "dataset.jsonl", tokenizer, recipe["max_tokens"], reporter)
        upstream = _read_upstream(folder, tokenizer, setting)
        step(1)

    measured = TransformersModel(model, dtype=getattr(torch, setting["dtype"]))
    before = np.load(folder / "before.npy", allow_pickle=False)
    tokens_per_batch = TOKENS_PER_BATCH[device.type] // order.split
    _measure_base(folder, measured, upstream, before, tokens_per_batch, reporter)
    with reporter.phase("fine_tune", recipe["steps"]) as step:
        trained = fine_tune(
            model, dataset, recipe, seed=order.seed, scratch=folder / "trainer", split=order.split, on_step=step
        )
    with reporter.phase("measure", len(upstream)) as step:
        for number, block in enumerate(_blocks(len(upstream))):
            values = _measure(measured, upstream[block], tokens_per_batch, partial(_step_from, step, block.start))
            write_block(folder, f"after-{number:05d}", values)
    write_result(
        folder,
        {
            "seconds": reporter.seconds,
            "losses": trained.losses,
            "seed": order.seed,
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "versions": {name: version(name) for name in ("torch", "transformers", "peft")},
        },
    )


def _measure_base(
    folder: Path,
    model: LanguageModel,
    upstream: Sequence[Tokens],
    before: Values,
    tokens_per_batch: int,
    reporter: Reporter,
) -> None:
    """Fill in the base values that are not known yet, and write all of them as blocks."""
    missing = np.flatnonzero(np.isnan(before))
    if missing.size:
        with reporter.phase("base", int(missing.size)) as step:
            before[missing] = _measure(model, [upstream[i] for i in missing.tolist()], tokens_per_batch, step)
    for number, block in enumerate(_blocks(len(upstream))):
        write_block(folder, f"before-{number:05d}", before[block])


def _measure(
    model: LanguageModel, upstream: Sequence[Tokens], tokens_per_batch: int, on_progress: Callable[[int], None]
) -> Values:
    values = log_perplexity(model, upstream, tokens_per_batch=tokens_per_batch, on_progress=on_progress)
    if not np.isfinite(values).all():
        place = int(np.flatnonzero(~np.isfinite(values))[0])
        raise NotFinite(f"the log-perplexity of upstream line {place + 1} is {values[place]}; the model has diverged")
    return values


def _step_from(step: Callable[..., None], start: int, n_done: int) -> None:
    step(start + n_done)


def _blocks(n_lines: int) -> Iterator[slice]:
    for start in range(0, n_lines, BLOCK_SIZE):
        yield slice(start, min(start + BLOCK_SIZE, n_lines))


def _read_dataset(path: Path, tokenizer: Tokenizer, max_tokens: int, reporter: Reporter) -> list[Tokens]:
    """The lines that have something to train on: a prompt that fills `max_tokens` leaves no response to learn."""
    lines = list(_read(path, tokenizer, {"scored": "response", "max_tokens": max_tokens}))
    usable = [tokens for _, tokens in lines if tokens.n_scored]
    if not usable:
        raise BadDataset(f"no line of the data set has a response within the recipe's max_tokens of {max_tokens}")
    if len(usable) < len(lines):
        first = next(number for number, tokens in lines if not tokens.n_scored)
        message = (
            f"{len(lines) - len(usable)} of {len(lines)} lines are left out (the first is line {first}): "
            f"no response within the recipe's max_tokens of {max_tokens}"
        )
        reporter.send({"level": "warn", "message": message})
    return usable


def _read_upstream(folder: Path, tokenizer: Tokenizer, setting: dict[str, Any]) -> list[Tokens]:
    upstream = []
    for number, tokens in _read(folder / "upstream.jsonl", tokenizer, setting):
        if not tokens.n_scored:
            raise BadDataset(
                f"upstream line {number} has no scored token within the setting's max_tokens of {setting['max_tokens']}"
            )
        upstream.append(tokens)
    return upstream


def _read(path: Path, tokenizer: Tokenizer, reading: dict[str, Any]) -> Iterator[tuple[int, Tokens]]:
    with path.open(encoding="utf-8-sig") as lines:  # as the service reads them: a byte order mark and empty lines pass
        for number, line in enumerate(lines, 1):
            if line.strip():
                tokens = encode(tokenizer, json.loads(line), scored=reading["scored"], max_tokens=reading["max_tokens"])
                yield number, tokens


def _die_with_parent() -> None:
    """End at once when the supervisor closes our stdin or dies; the kernel does the same on Linux by a signal."""

    def watch() -> None:
        # Not through sys.stdin: its lock would be held when the interpreter shuts down, which is a fatal error.
        while os.read(0, 4096):
            pass
        os._exit(70)

    threading.Thread(target=watch, daemon=True).start()


def main() -> int:
    """Exit status: 0 done, 1 failed for a reason in error.json."""
    folder = Path(sys.argv[1])
    # Libraries print to stdout; events must stay the only thing there.
    events = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    _die_with_parent()
    transformers_logging.disable_progress_bar()
    torch.use_deterministic_algorithms(True, warn_only=True)
    # Filling fresh memory guards against bugs that are not ours, and costs a fifth of the time.
    deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]  # set through __setattr__
    try:
        run(folder, Reporter(events))
    except Exception as error:
        traceback.print_exc()
        code, detail = _describe(error)
        write_file(folder / "error.json", json.dumps({"code": code, "detail": detail}).encode())
        return 1
    return 0


def _describe(error: Exception) -> tuple[str, str]:
    if isinstance(error, ForgetcastError):
        return error.code, str(error)
    if isinstance(error, torch.OutOfMemoryError):
        return "gpu_oom", "the GPU ran out of memory; lower the recipe's batch_size or max_tokens"
    if isinstance(error, OSError):
        return "io", f"{type(error).__name__}: {error}"
    return "internal", f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(main())
