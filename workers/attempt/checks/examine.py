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
import torch
from transformers import PreTrainedModel
from transformers.utils import logging as transformers_logging

from forgetcast.errors import ForgetcastError, UnsupportedModel
from forgetcast.layouts.places import Unusable
from workers.attempt.checks.limits import limits_of, lora_modules
from workers.attempt.checks.memory import LORA, Room, advice, estimate, free_memory, giga
from workers.attempt.checks.self_check import COARSE, SAME, Way, reference, way_to_read
from workers.attempt.checks.shown import NOT_TRIED, ON_A_CARD, ON_THE_CPU
from workers.attempt.measuring.log_perplexity import log_perplexity
from workers.attempt.model.loading import Loading
from workers.attempt.model.model_folder import load_model
from workers.attempt.texts.tokens import Tokenizer, Tokens, encode

ROOM = 1.1  # times the weights, that loading and measuring take
PART = 1000  # tokens of a part of a batch
FULL: dict[str, Any] = {"method": "full", "lora": None, "steps": 1, "batch_size": 1, "max_tokens": PART}
WITH_LORA = FULL | {"method": "lora", "lora": LORA}
PRECISIONS: dict[str, dict[str, Any]] = {
    "all in float32": {"dtype": "float32"},
    "bfloat16 over float32 weights": {"dtype": "bfloat16"},
    "weights in bfloat16": {"dtype": "bfloat16", "weights_dtype": "bfloat16"},
}
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
    n_weights, free = _n_weights(folder), free_memory(device)
    fitting = [each for each in (torch.float32, torch.bfloat16) if ROOM * each.itemsize * n_weights <= free]
    if not fitting:
        said = f"{giga(2 * n_weights)} of bfloat16 weights do not fit into {giga(free)} that are free"
        yield Finding("memory", "fail", said, "take a larger device, or a smaller model")
        return
    if fitting[0] is not torch.float32:
        said = f"{giga(4 * n_weights)} of float32 weights do not fit into {giga(free)} that are free; read in bfloat16"
        yield Finding("memory", "warn", said, "use weights_dtype and dtype bfloat16, in the recipe and the setting")
    try:
        model, tokenizer = load_model(folder, device, Loading(fitting[0]))
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
    yield _shown()


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
    if not worst <= (SAME if model.dtype.itemsize >= 4 else COARSE):
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
    """What fine-tuning takes at its peak for parts of a batch of so many tokens, in full and with LoRA."""
    for name, method in (("full fine-tuning", FULL), (f"LoRA of rank {LORA['rank']}", WITH_LORA)):
        for said_of, precision in PRECISIONS.items():
            recipe = method | precision
            try:
                needed = estimate(model, recipe, longest=PART)
            except ForgetcastError:  # said of LoRA by itself
                continue
            said = f"{name}, {said_of}, takes about {giga(needed.peak)} for {PART:,} tokens at once: {needed.said}"
            said += f"; {giga(free)} are free"
            if needed.peak <= free:
                yield Finding("memory", "ok", said)
            else:
                yield Finding("memory", "warn", said, advice(model, recipe, Room(free), PART))


def _shown() -> Finding:
    on_a_card = "; ".join(ON_A_CARD) or "none"
    said = f"on the CPU: {', '.join(ON_THE_CPU)}; on a card: {on_a_card}; not tried: {', '.join(NOT_TRIED)}"
    return Finding("shown", "ok", said)


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
