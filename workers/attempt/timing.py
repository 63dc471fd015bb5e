"""What a row costs here: a few fine-tuning steps and a pass over some upstream examples, timed before any is ordered.

`forgetcast seed` asks for it where the model lies on this machine; elsewhere the first job says it.
"""

from __future__ import annotations

import os
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
from workers.attempt.examples import read_dataset, read_upstream
from workers.attempt.fine_tune import fine_tune
from workers.attempt.limits import check_recipe, limits_of
from workers.attempt.model_folder import load_model
from workers.attempt.scorer import Packed, TransformersScorer
from workers.attempt.self_check import way_to_read
from workers.attempt.token_budget import tokens_per_batch
from workers.attempt.tokens import Tokens

STEPS = 4  # of which the first, which fills caches, does not count
TIMED = 64  # upstream examples


class Costs(NamedTuple):
    """Seconds: to load and examine the model, of one step, and of one pass over all upstream examples."""

    load: float
    step: float
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
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    began = time.perf_counter()
    model, tokenizer = load_model(model_folder, device)
    way = way_to_read(model)
    load = time.perf_counter() - began
    read, lines = read_upstream(upstream, tokenizer, setting), read_dataset(dataset, tokenizer, recipe, _say_nothing)
    limits = limits_of(model)
    limits.check((("an example of the data set", tokens) for tokens in lines), "the recipe's max_tokens")
    limits.check(
        ((f"the upstream example {name!r}", tokens) for name, tokens in read.named), "the setting's max_tokens"
    )
    check_recipe(model, recipe)
    examples = [tokens for tokens in read.tokens if tokens.n_scored]
    if not examples:
        raise NothingToScore("none of the upstream examples has a token to score under this setting")
    scorer = TransformersScorer(way.model(model, getattr(torch, setting["dtype"])), tokens_per_batch(model, device))
    of_upstream = _time_reading(scorer, examples, device)
    with tempfile.TemporaryDirectory(prefix="forgetcast-timing-") as scratch:
        step = _time_steps(model, lines, recipe, Path(scratch), device)
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    return Costs(load, step, of_upstream, name)


def _time_reading(scorer: TransformersScorer, examples: Sequence[Tokens], device: torch.device) -> float:
    """Seconds for all of them, by the tokens of a share of them."""
    chosen = examples[:: max(1, len(examples) // TIMED)]
    scorer.score(Packed.of(chosen[:2]))
    began = time.perf_counter()
    scorer.score(Packed.of(chosen))
    _finish(device)
    return (time.perf_counter() - began) * sum(map(len, examples)) / sum(map(len, chosen))


def _time_steps(
    model: Any, lines: Sequence[Tokens], recipe: dict[str, Any], scratch: Path, device: torch.device
) -> float:
    moments: list[float] = []

    def stepped(_step: int, _loss: float) -> None:
        _finish(device)
        moments.append(time.perf_counter())

    short = {**recipe, "steps": STEPS, "warmup_steps": 0}
    fine_tune(model, lines, short, seed=0, scratch=scratch, on_step=stepped)
    return (moments[-1] - moments[0]) / (len(moments) - 1)


def _say_nothing(_warning: str) -> None:
    """What a job says of the data it says then."""


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
