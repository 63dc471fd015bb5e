"""The part of a model that reads text: its inner decoder; and what lies beside it where a model also sees or hears."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

# Models whose `out_proj` peft refuses: their kernels read its weight and not its output (peft/tuners/tuners_utils.py).
STATE_SPACE = {"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"}


def decoder_of(model: PreTrainedModel) -> Any:
    """The module that turns token ids into hidden states, without any head.

    `get_decoder` looks for attributes by name: it may find the model itself, a projection that is called `decoder`, or
    a text model that brings its own head.
    """
    found: Any = model.get_decoder()
    while not isinstance(found, PreTrainedModel) or found is model or found.get_output_embeddings() is not None:
        around = found if isinstance(found, PreTrainedModel) else model
        inner = next((child for child in around.children() if isinstance(child, PreTrainedModel)), None)
        if inner is None:
            return found
        found = inner
    return found


def other_senses(model: PreTrainedModel) -> str | None:
    """A pattern for the names of modules and weights that read no text: towers for images or sound, and what joins them
    to the decoder, which stand beside it; None where there are none."""
    text = _text_model(model)
    above, _, own = text.rpartition(".")
    if above:
        return rf"{re.escape(above)}\.(?!{re.escape(own)}(\.|$)).*"
    beside = [
        re.escape(name)
        for name, child in model.named_children()
        if name != own and (isinstance(child, PreTrainedModel) or "projector" in name)
    ]
    return rf"({'|'.join(beside)})(\..*)?" if beside else None


def without_adapters(model: PreTrainedModel, targets: str | list[str]) -> str | None:
    """A pattern for the names of modules that LoRA is not put on; None where there are none.

    Never on those that read no text. `all-linear` takes no router either, which is called a linear layer and answers
    with more than its output, and not what peft refuses of state space layers.
    """
    beside = other_senses(model)
    if targets != "all-linear":
        return beside
    routers = [
        re.escape(name)
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and type(module) is not nn.Linear and not _answers_as_linear(module)
    ]
    refused = [r".*\.out_proj"] if getattr(model.config, "model_type", None) in STATE_SPACE else []
    patterns = [*filter(None, [beside]), *routers, *refused]
    return "|".join(f"({pattern})" for pattern in patterns) or None


def _answers_as_linear(module: nn.Linear) -> bool:
    """Whether a kind of linear layer answers with its output alone."""
    try:
        with torch.no_grad():
            answer = module(torch.zeros(1, module.in_features, device=module.weight.device, dtype=module.weight.dtype))
    except Exception:  # it takes more than what it transforms
        return False
    return isinstance(answer, Tensor)


def _text_model(model: PreTrainedModel) -> str:
    """The name of the decoder, or of the text model around it that brings the head."""
    decoder = decoder_of(model)
    where = next((name for name, module in model.named_modules() if module is decoder), "")
    above = where.rpartition(".")[0]
    around = model.get_submodule(above)
    with_head = (
        isinstance(around, PreTrainedModel) and around is not model and around.get_output_embeddings() is not None
    )
    return above if with_head else where


def freeze_other_senses(model: PreTrainedModel) -> None:
    """Leave out of training whatever reads no text."""
    beside = other_senses(model)
    for name, parameter in model.named_parameters():
        if beside is not None and re.fullmatch(beside, name):
            parameter.requires_grad_(False)
