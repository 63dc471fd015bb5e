"""Cells that were measured before, measured again: whether a repeated fine-tuning has come to the same model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from forgetcast.errors import NotReproducible, UnsupportedModel
from forgetcast.layouts.places import Unusable
from workers.attempt.measuring.scorer import Packed, Scorer
from workers.attempt.texts.tokens import Tokenizer, Tokens, encode
from workers.job_directory import Values

SAME = 0.02  # nats per token: another order of the same data moves a cell by 0.018 (sd), other hardware by far less


@dataclass(frozen=True)
class Control:
    """A few cells of the task: examples, log-perplexity before fine-tuning and forgetting, (n,) nats per token each."""

    examples: tuple[Tokens, ...]
    before: Values
    forgetting: Values


def read_control(path: Path, tokenizer: Tokenizer, setting: dict[str, Any]) -> Control | None:
    """The control of a job directory; None when its task has no cells yet."""
    if not path.exists():
        return None
    cells = json.loads(path.read_bytes())
    how = {"scored": setting["scored"], "max_tokens": setting["max_tokens"]}
    try:
        examples = tuple(encode(tokenizer, cell["example"], **how) for cell in cells)
    except Unusable as error:
        raise UnsupportedModel(f"an example that was measured before cannot be read any more: {error}") from error
    return Control(
        examples,
        np.array([cell["before"] for cell in cells], np.float32),
        np.array([cell["forgetting"] for cell in cells], np.float32),
    )


def check_control(control: Control, scorer: Scorer) -> None:
    """Raises NotReproducible when a cell differs from what it was: cells of two models are no row."""
    after = scorer.score(Packed.of(control.examples), lambda _n_done: None).log_perplexity
    differences = np.abs(after - control.before - control.forgetting)
    if not differences.max() <= SAME:
        raise NotReproducible(
            f"fine-tuning again came to another model: {len(differences)} cells that were measured before differ by up "
            f"to {differences.max():.3f} nats per token"
        )
