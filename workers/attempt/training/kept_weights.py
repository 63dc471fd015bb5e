"""Fine-tuned weights on the host's disk: a later attempt, or a later job of the same task, need not fine-tune again."""

from __future__ import annotations

import errno
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import PreTrainedModel

from workers.attempt.training.fine_tune import FineTuned, with_adapter
from workers.attempt.training.sealed import read_seal, seal

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True)
class Tuned:
    """What is left of a fine-tuning: the sha256 of its weights, and the loss of each step."""

    weights_sha256: str
    losses: tuple[float, ...]


def load_kept(model: PreTrainedModel, recipe: dict[str, Any], folder: Path, made_for: str) -> Tuned | None:
    """Put kept weights into the model, in place; None, and nothing is done, unless they are whole and of this order."""
    said = read_seal(folder, made_for)
    if said is None:
        return None
    trained = with_adapter(model, recipe["lora"]) if recipe["method"] == "lora" else model
    kept = load_file(folder / WEIGHTS)
    with torch.no_grad():
        for name, parameter in _learned(trained).items():
            parameter.copy_(kept[name])
    os.utime(folder)  # it was of use: keep it for as long again
    return Tuned(said["files"][WEIGHTS], tuple(said["losses"]))


def keep(tuned: FineTuned, folder: Path, made_for: str) -> Tuned:
    """Write the weights of a fine-tuned model, whole or not at all; of LoRA only the adapter's."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    scratch.mkdir(parents=True)
    try:
        learned = {name: value.detach().cpu().contiguous() for name, value in _learned(tuned.trained).items()}
        save_file(learned, scratch / WEIGHTS)
        said = seal(scratch, made_for, losses=tuned.losses)
        shutil.rmtree(folder, ignore_errors=True)
        _replace(scratch, folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    return Tuned(said["files"][WEIGHTS], tuned.losses)


def _replace(scratch: Path, folder: Path) -> None:
    try:
        scratch.replace(folder)
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):  # a job with the same order was quicker
            raise


def _learned(model: PreTrainedModel | PeftModel) -> dict[str, Tensor]:
    return {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
