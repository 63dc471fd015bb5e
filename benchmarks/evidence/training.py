"""One run: fine-tune on the task's lines and the replayed examples, then measure what was never replayed.

Notation
    nats    negative log-probability of the scored tokens, summed over a batch and divided by how many it has

The loop is the trainer's own recipe (AdamW, linear decay with warm-up, gradients clipped) written out, so that every
arm sees the same lines in the same order at the same steps, whatever is replayed beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import get_scheduler

from bundled.sets import ANSWERS
from forgetcast.recipe_defaults import full_recipe
from workers.attempt.measuring.log_perplexity import score
from workers.attempt.model.model_folder import load_model
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.examples import read_dataset, read_upstream
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import collate
from workers.attempt.training.packing import IGNORED

HELD_OUT_LINES = 40  # of the task's 200: never trained on, they say how well the task was learned

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Outcome:
    """What a run leaves: losses in nats per token, `log_perplexity` (H,) of the examples that were never replayed."""

    log_perplexity: Floats
    task_loss_before: float
    task_loss: float
    train_losses: tuple[float, ...]
    seconds: float


class Laboratory:
    """A base model that is put back to what it was after every run."""

    def __init__(self, model_folder: Path, tasks: Path, upstream: Path) -> None:
        self._tasks = tasks
        self._recipe = full_recipe(ANSWERS.matrix["recipe"])
        self._model, self._tokenizer = load_model(model_folder, torch.device("cpu"))
        setting = ANSWERS.matrix["setting"]
        self._upstream = read_upstream(upstream, self._tokenizer, setting).tokens
        self._base = {name: value.clone() for name, value in self._model.state_dict().items()}

    def n_scored(self, place: int) -> int:
        return self._upstream[place].n_scored

    def n_task_examples(self) -> int:
        return int(self._recipe["steps"] * self._recipe["batch_size"])

    def run(self, task: str, seed: int, replayed: Sequence[int], held_out: Sequence[int]) -> Outcome:
        """`replayed` in the order in which they were drawn: they are spread over the steps, each once."""
        began = time.monotonic()
        lines = read_dataset(self._tasks / f"{task}.jsonl", self._tokenizer, self._recipe, lambda _said: None)
        training, kept_out = lines[:-HELD_OUT_LINES], lines[-HELD_OUT_LINES:]
        self._model.load_state_dict(self._base)
        before = self._task_loss(kept_out)
        losses = self._train(self._batches(training, seed, [self._upstream[place] for place in replayed]))
        measured = score(self._measured, [self._upstream[place] for place in held_out]).log_perplexity
        return Outcome(measured.astype(np.float64), before, self._task_loss(kept_out), losses, time.monotonic() - began)

    def run_and_look(self, task: str, seed: int, places: Sequence[int], at: Sequence[int]) -> dict[int, Floats]:
        """Fine-tune without replay; log-perplexity of the upstream examples after so many steps, nats per token."""
        lines = read_dataset(self._tasks / f"{task}.jsonl", self._tokenizer, self._recipe, lambda _said: None)
        self._model.load_state_dict(self._base)
        found: dict[int, Floats] = {}

        def look(step: int) -> None:
            if step in at:
                measured = score(self._measured, [self._upstream[place] for place in places]).log_perplexity
                found[step] = measured.astype(np.float64)

        self._train(self._batches(lines[:-HELD_OUT_LINES], seed, ()), look)
        return found

    def _batches(self, lines: Sequence[Tokens], seed: int, replayed: Sequence[Tokens]) -> list[list[list[Tokens]]]:
        """For each step its lines, and what is replayed beside them; the lines depend on the seed alone."""
        steps, size = self._recipe["steps"], self._recipe["batch_size"]
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(lines), generator=generator)[: steps * size].tolist()
        beside: list[list[Tokens]] = [[] for _ in range(steps)]
        for turn, place in enumerate(torch.randperm(len(replayed), generator=generator).tolist()):
            beside[turn * steps // len(replayed)].append(replayed[place])
        return [
            [[lines[place] for place in order[step * size : (step + 1) * size]], beside[step]] for step in range(steps)
        ]

    def _train(
        self, batches: Sequence[Sequence[Sequence[Tokens]]], after_step: Callable[[int], None] = lambda _step: None
    ) -> tuple[float, ...]:
        recipe, model = self._recipe, self._model
        model.train()
        optimiser = torch.optim.AdamW(model.parameters(), lr=recipe["learning_rate"], weight_decay=0.0, fused=True)
        schedule: Any = get_scheduler(recipe["schedule"], optimiser, recipe["warmup_steps"], len(batches))
        losses = []
        for parts in batches:
            n_tokens = sum(tokens.n_scored for part in parts for tokens in part)
            loss = 0.0
            for part in parts:
                if part:  # apart, since the lengths of lines and of upstream examples differ
                    nats = self._nats(part) / n_tokens
                    nats.backward()
                    loss += float(nats.detach())
            torch.nn.utils.clip_grad_norm_(model.parameters(), recipe["max_grad_norm"])
            optimiser.step()
            schedule.step()
            optimiser.zero_grad()
            losses.append(loss)
            after_step(len(losses))
        model.eval()
        return tuple(losses)

    def _nats(self, part: Sequence[Tokens]) -> Tensor:
        """Summed over the scored tokens, which alone meet the vocabulary."""
        batch = collate(part)
        wanted = batch["labels"][:, 1:]
        scored = wanted != IGNORED
        states = self._model.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).last_hidden_state
        logits = self._model.lm_head(states[:, :-1][scored])
        return torch.nn.functional.cross_entropy(logits, wanted[scored], reduction="sum")

    @property
    def _measured(self) -> TransformersModel:
        return TransformersModel(self._model, dtype=torch.float32)

    def _task_loss(self, lines: Sequence[Tokens]) -> float:
        """Nats per token over all scored tokens of the lines."""
        nats = score(self._measured, lines).log_perplexity.astype(np.float64)
        weight = np.array([tokens.n_scored for tokens in lines])
        return float((nats * weight).sum() / weight.sum())
