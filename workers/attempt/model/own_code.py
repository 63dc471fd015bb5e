"""Asking a model's own code: in the mode in which it is measured, and what it says when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def as_measured(model: PreTrainedModel) -> Iterator[None]:
    """Without dropout and without gradients; afterwards it is in the mode in which it was."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)


def first_line(error: Exception) -> str:
    """What an error says, or its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).partition("\n")[0]
