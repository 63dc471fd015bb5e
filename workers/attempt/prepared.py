"""An order -> a model that can be trained and measured, and what it reads: all that can be refused is refused here,
before the GPU is spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import torch
from transformers import PreTrainedModel

from forgetcast import layouts
from forgetcast.errors import LimitExceeded
from forgetcast.recipe_defaults import how_weights_are_read, n_steps
from workers.attempt.checks.kept_way import examined
from workers.attempt.checks.limits import check_recipe, limits_of
from workers.attempt.checks.memory import Room
from workers.attempt.measuring.control import Control, read_control
from workers.attempt.measuring.scorer import TransformersScorer
from workers.attempt.measuring.token_budget import tokens_per_batch
from workers.attempt.model.loading import Loading
from workers.attempt.model.model_folder import load_model
from workers.attempt.reporter import Reporter
from workers.attempt.texts.conversations import check_template
from workers.attempt.texts.examples import Upstream, read_dataset, read_upstream
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import rows_of
from workers.attempt.training.ranks import Ranks
from workers.job_directory import JobOrder


@dataclass(frozen=True)
class Prepared:
    """The model, and what it is trained and measured on; `n_updates`: steps of the whole fine-tuning."""

    model: PreTrainedModel
    dataset: Sequence[Tokens]
    upstream: Upstream
    control: Control | None
    scorer: TransformersScorer
    n_updates: int


def prepare(folder: Path, order: JobOrder, reporter: Reporter, ranks: Ranks) -> Prepared:
    """Load what a job directory orders, and see that all of it can be done here.

    Raises
    ------
    ForgetcastError : of many kinds; each says what was wrong, and what to change
    """
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    recipe, setting = order.recipe, order.setting
    with reporter.phase("load", 1) as step:
        room = Room.of(device, ranks, split=order.split)
        room.check_weights(Path(order.model_folder), recipe)
        model, tokenizer = load_model(Path(order.model_folder), device, Loading.of(recipe))
        check_template(tokenizer, setting["chat_template_sha256"])
        dataset = read_dataset(folder / "dataset.jsonl", tokenizer, recipe, reporter.warn)
        upstream = read_upstream(folder / "upstream.jsonl", tokenizer, setting)
        control = read_control(folder / "control.json", tokenizer, setting)
        step(1)
    with reporter.phase("examine", 1) as step:
        _check_lengths(model, dataset, upstream)
        longest = max(map(len, dataset))
        check_recipe(model, recipe, longest)
        room.check(model, recipe, longest)
        n_updates = n_steps(recipe, len(rows_of(dataset, recipe)))
        if n_updates > order.max_steps:
            raise LimitExceeded(f"these are {n_updates} steps, and at most {order.max_steps} are done here")
        scorer = _scorer(model, order, reporter, ranks)
        step(1)
    for told in (upstream.left_out(), upstream.cut(setting["max_tokens"])):
        if told:
            reporter.warn(told)
    return Prepared(model, dataset, upstream, control, scorer, n_updates)


def versions() -> dict[str, str]:
    """Of what decides how the same bytes are read and learned from."""
    return {name: version(name) for name in ("torch", "transformers", "peft")} | {"layouts": str(layouts.VERSION)}


def device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name() if device.type == "cuda" else "cpu"


def _check_lengths(model: PreTrainedModel, dataset: Sequence[Tokens], upstream: Upstream) -> None:
    limits = limits_of(model)
    limits.check((("an example of the data set", tokens) for tokens in dataset), "the recipe's max_tokens")
    named = ((f"the upstream example {name!r}", tokens) for name, tokens in upstream.named)
    limits.check(named, "the setting's max_tokens")


def _scorer(model: PreTrainedModel, order: JobOrder, reporter: Reporter, ranks: Ranks) -> TransformersScorer:
    """What reads the model in the fastest way that is right; found out by the first process alone, which measures."""
    of = (order.model_revision, versions(), device_name(model.device), how_weights_are_read(order.recipe))
    way = examined(model, Path(order.ways_folder) if order.ways_folder and ranks.first else None, of)
    if way.reading.alone or not way.reading.shares_prefix:
        reporter.warn(f"{type(model).__name__} is read by {way.reading.said}: its own values ask for it")
    dtype = getattr(torch, order.setting["dtype"])
    return TransformersScorer(way.model(model, dtype), tokens_per_batch(model, model.device) // order.split)
