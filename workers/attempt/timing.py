"""What a row costs here: a few fine-tuning steps and a pass over some upstream examples, timed before any is ordered.

`forgetcast seed` asks for it where the model lies on this machine; elsewhere the first job says it.
"""

from __future__ import annotations

import io
import os
import shutil
import tempfile
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import torch
from transformers.utils import logging as transformers_logging

from forgetcast.errors import NothingToScore
from workers.attempt.measuring.scorer import Packed, TransformersScorer
from workers.attempt.prepared import Prepared, device_name, prepare
from workers.attempt.reporter import Reporter
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import fine_tune
from workers.attempt.training.ranks import ALONE
from workers.job_directory import JobOrder

STEPS = 4  # of which the first, which fills caches, does not count
TIMED = 64  # upstream examples


class Costs(NamedTuple):
    """Seconds: to load and examine the model, of a whole fine-tuning, and of one pass over all upstream examples."""

    load: float
    fine_tune: float
    upstream: float
    device: str


def time_costs(
    model_folder: Path, recipe: dict[str, Any], setting: dict[str, Any], upstream: Path, dataset: Path
) -> Costs:
    """Load the model, read some upstream examples (JSON Lines), fine-tune a few steps on a data set; nothing is kept.

    Raises
    ------
    What an attempt raises of a model, a recipe and data that do not go together
    """
    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()
    warnings.filterwarnings("ignore", category=FutureWarning)  # between libraries, nothing that a user can mend
    with tempfile.TemporaryDirectory(prefix="forgetcast-timing-") as scratch:
        folder = Path(scratch)
        shutil.copyfile(dataset, folder / "dataset.jsonl")
        shutil.copyfile(upstream, folder / "upstream.jsonl")
        order = JobOrder("timing", 1, 1, str(model_folder), "", recipe, setting, 0, "", str(folder / "weights"))
        began = time.perf_counter()
        prepared = prepare(folder, order, Reporter(io.StringIO()), ALONE)
        load = time.perf_counter() - began
        device = prepared.model.device
        examples = [tokens for tokens in prepared.upstream.tokens if tokens.n_scored]
        if not examples:
            raise NothingToScore("none of the upstream examples has a token to score under this setting")
        of_upstream = _time_reading(prepared.scorer, examples, device)
        step = _time_steps(prepared, recipe, folder / "trainer", device)
    name = "CPU" if device.type == "cpu" else device_name(device)
    return Costs(load, step * prepared.n_updates, of_upstream, name)


def _time_reading(scorer: TransformersScorer, examples: Sequence[Tokens], device: torch.device) -> float:
    """Seconds for all of them, by the tokens of a share of them."""
    chosen = examples[:: max(1, len(examples) // TIMED)]
    scorer.score(Packed.of(chosen[:2]))
    began = time.perf_counter()
    scorer.score(Packed.of(chosen))
    _finish(device)
    return (time.perf_counter() - began) * sum(map(len, examples)) / sum(map(len, chosen))


def _time_steps(prepared: Prepared, recipe: dict[str, Any], scratch: Path, device: torch.device) -> float:
    """Seconds of one step."""
    moments: list[float] = []

    def stepped(_step: int, _loss: float) -> None:
        _finish(device)
        moments.append(time.perf_counter())

    short = {**recipe, "steps": STEPS, "num_train_epochs": None, "warmup_steps": 0}
    fine_tune(prepared.model, prepared.dataset, short, seed=0, scratch=scratch, on_step=stepped)
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
