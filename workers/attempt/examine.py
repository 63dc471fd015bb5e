"""What `forgetcast doctor --model` says of a base model's folder: whether it can be measured and fine-tuned here.

The same checks as an attempt's own, and the fast way of reading against the model's forward pass on sentences that its
tokenizer splits. Nothing is trained and nothing is written.
"""

from __future__ import annotations

import json
import math
import os
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

os.environ.setdefault("HF_HUB_OFFLINE", "1")

import numpy as np
import psutil
import torch
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from forgetcast.errors import ForgetcastError, UnsupportedModel
from forgetcast.layouts.places import Unusable
from workers.attempt.limits import limits_of, lora_modules
from workers.attempt.log_perplexity import log_perplexity
from workers.attempt.model_folder import load_model
from workers.attempt.self_check import SAME, Way, reference, way_to_read
from workers.attempt.tokens import Tokenizer, Tokens, encode

FLOAT32 = 4  # bytes
FULL = 4 * FLOAT32  # bytes a weight: itself, its gradient, and the two moments of AdamW
ROOM = 1.1  # times the weights, that loading and measuring take
LORA_RANK = 16
LORA = {"rank": LORA_RANK, "alpha": 32.0, "dropout": 0.0, "target_modules": "all-linear"}
TEXTS = (
    "The river rose by two metres in a single night, and the lower road was closed until the water fell again.",
    "Add the flour.",
    "To count the words of a file, read it line by line, split each line at white space, and add up the lengths.",
    "A triangle with sides of 3, 4 and 5 has a right angle.",
)
CONVERSATIONS = {
    "a question and a reply": ["user", "assistant"],
    "a system prompt": ["system", "user", "assistant"],
    "two replies": ["user", "assistant", "user", "assistant"],
}


class Finding(NamedTuple):
    """`state` is ok, warn or fail, `next` what to do about it."""

    name: str
    state: str
    said: str
    next: str = ""


def examine(folder: Path) -> Iterator[Finding]:
    """Findings in the order in which they are made; they end at the first that leaves nothing to look at."""
    transformers_logging.set_verbosity_error()
    warnings.filterwarnings("ignore", category=FutureWarning)  # between libraries, nothing that a user can mend
    transformers_logging.disable_progress_bar()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    yield _precision(device)
    n_weights, free = _n_weights(folder), _free(device)
    if ROOM * FLOAT32 * n_weights > free:
        said = f"{_giga(FLOAT32 * n_weights)} of float32 weights do not fit into {_giga(free)} that are free"
        yield Finding("memory", "fail", said, "take a larger device, or a smaller model")
        return
    try:
        model, tokenizer = load_model(folder, device)
        way = way_to_read(model)
    except ForgetcastError as error:
        yield Finding("model", "fail", f"{error} ({error.code})", "mend the folder, or choose another base model")
        return
    limits = limits_of(model)
    bounds = "no bound on positions" if limits.n_positions is None else f"{limits.n_positions:,} positions"
    n_loaded = sum(weight.numel() for weight in model.parameters())
    said = f"{type(model).__name__}, {n_loaded / 1e6:,.1f} million weights, {limits.n_vocabulary:,} token ids, {bounds}"
    yield Finding("model", "ok", said)
    yield _reading(model, tokenizer, way)
    yield from _memory(model, free)
    yield _lora(model)
    yield from _chat(tokenizer)


def _precision(device: torch.device) -> Finding:
    if device.type == "cpu":
        return Finding("precision", "ok", "no GPU here: float32 on the CPU; bfloat16 is slower and less exact there")
    name = torch.cuda.get_device_name()
    if torch.cuda.is_bf16_supported(including_emulation=False):
        return Finding("precision", "ok", f"{name}: float32, or bfloat16 by the recipe's and the setting's dtype")
    return Finding("precision", "warn", f"{name} has no bfloat16", "use dtype float32 in recipe and setting")


def _reading(model: PreTrainedModel, tokenizer: Tokenizer, way: Way) -> Finding:
    examples = [tokens for tokens in _ragged(tokenizer) if len(tokens) > 1]
    if not examples:
        return Finding(
            "values", "fail", "the tokenizer makes no tokens of a sentence", "take the model's own tokenizer"
        )
    try:
        limits_of(model).check((("a sentence", tokens) for tokens in examples), "the setting's max_tokens")
    except ForgetcastError as error:
        return Finding("values", "fail", f"{error} ({error.code})", "take tokenizer and weights from one place")
    fast, slow = log_perplexity(way.model(model, torch.float32), examples), reference(model, examples)
    worst = float(np.abs(fast - slow).max())
    lengths = sorted(map(len, examples))
    said = (
        f"{len(examples)} examples of {lengths[0]} to {lengths[-1]} tokens by {way.reading.said}"
        f"{', with the logits as the model changes them' if way.own_head else ''}: at most {worst:.1g} nats per token "
        "from the model's own forward pass, one at a time"
    )
    if not worst <= SAME:
        return Finding("values", "fail", said, "please report the architecture")
    if way.reading.alone or not way.reading.pads:
        return Finding("values", "warn", said, "right, but slow: expect several times the time of other models")
    return Finding("values", "ok", said)


def _ragged(tokenizer: Tokenizer) -> Iterator[Tokens]:
    """The sentences as they are, and each as a response to one prompt that all of these share."""
    for text in TEXTS:
        yield encode(tokenizer, {"text": text}, scored="all", max_tokens=256)
        example = {"prompt": f"{TEXTS[0]} ", "completion": text}
        yield encode(tokenizer, example, scored="response", max_tokens=256)


def _memory(model: PreTrainedModel, free: float) -> Iterator[Finding]:
    """What fine-tuning takes beside the weights that are loaded already: gradients, moments, activations."""
    n_weights = sum(weight.numel() for weight in model.parameters())
    n_trained = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
    adapters = LORA_RANK * _widths(model)
    activations = 1000 * _activations(model)
    for name, whole in (
        ("full fine-tuning", FLOAT32 * n_weights + (FULL - FLOAT32) * n_trained),
        (f"LoRA of rank {LORA_RANK}", FLOAT32 * n_weights + FULL * adapters),
    ):
        needed = whole + activations
        said = f"{name} takes about {_giga(whole)}, and {_giga(activations)} for each 1,000 tokens of a batch"
        fits = needed <= free
        said += f"; {_giga(free)} are free"
        advice = "" if fits else "use LoRA, a smaller batch or a larger device"
        yield Finding("memory", "ok" if fits else "warn", said, advice)


def _activations(model: PreTrainedModel) -> float:
    """Bytes that one token leaves for the backward pass, about: states and products of each layer, and its logits."""
    config = model.config.get_text_config(decoder=True)
    width, n_layers = int(config.hidden_size), int(config.num_hidden_layers)
    inner = getattr(config, "intermediate_size", None)
    inner = inner if isinstance(inner, int) else 4 * width
    return FLOAT32 * (n_layers * (14 * width + 4 * inner) + 3 * limits_of(model).n_vocabulary)


def _widths(model: PreTrainedModel) -> int:
    """Sum of inputs and outputs over the modules that take an adapter: what one rank of LoRA has in weights."""
    total = 0
    for name in _adapted(model):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        total += sum(weight.shape)
    return total


def _adapted(model: PreTrainedModel) -> Sequence[str]:
    try:
        return lora_modules(model, LORA)
    except ForgetcastError:
        return ()


def _lora(model: PreTrainedModel) -> Finding:
    names = Counter(name.rpartition(".")[2] for name in _adapted(model))
    if not names:
        return Finding("lora", "warn", "no module takes an adapter by `all-linear`", "fine-tune in full")
    listed = ", ".join(f"{name} ({count})" for name, count in sorted(names.items()))
    return Finding("lora", "ok", f"`all-linear` takes {sum(names.values())} modules: {listed}")


def _chat(tokenizer: Tokenizer) -> Iterator[Finding]:
    if not tokenizer.chat_template:
        yield Finding("chat", "warn", "no chat template", "give examples as text, or as prompt and completion")
        return
    for what, roles in CONVERSATIONS.items():
        turns = [{"role": role, "content": TEXTS[place]} for place, role in enumerate(roles)]
        try:
            tokens = encode(tokenizer, {"messages": turns}, scored="response", max_tokens=4096)
        except (Unusable, UnsupportedModel) as error:
            said = f"{what}: {' '.join(str(error).split())}"
            yield Finding("chat", "warn", said, "leave such conversations out, or write them as prompt and completion")
            continue
        yield Finding("chat", "ok", f"{what}: {tokens.n_scored} of {len(tokens)} tokens are scored")


def _n_weights(folder: Path) -> int:
    """As the headers say, without reading a weight; 0 where there is none, which loading then says better."""
    total = 0
    for file in folder.glob("*.safetensors"):
        try:
            with file.open("rb") as opened:
                header: dict[str, Any] = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
            total += sum(math.prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
        except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError):
            return 0
    return total


def _free(device: torch.device) -> float:
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info()[0])
    return float(psutil.virtual_memory().available)


def _giga(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB"
