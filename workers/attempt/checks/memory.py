"""How much memory a fine-tuning will take, before it starts, and whether the device has it.

Notation
    e       bytes of a number: 4 in float32, 2 in bfloat16
    H, I, A widths of a token in a layer: hidden, inner, and all attention heads together
    V       token ids of the vocabulary

Weights, gradients and the optimiser's state follow from the parameters and are exact. What a token leaves for the
backward pass is counted by what autograd keeps of a decoder layer of the Llama kind (`KEPT`), and is about right for
others. The peak is the larger of two moments: the end of the forward pass, and the update with all its gradients.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch import nn
from transformers import AutoConfig, PreTrainedModel

from forgetcast.errors import ForgetcastError, WillNotFit
from forgetcast.recipe_defaults import full_recipe
from workers.attempt.checks.limits import lora_modules, n_vocabulary
from workers.attempt.model.model_folder import kind_of
from workers.attempt.model.text_part import freeze_other_senses
from workers.attempt.training.fine_tune import parts_of
from workers.attempt.training.ranks import Ranks

SIZE = {"float32": 4, "bfloat16": 2}
IN_4_BITS = 0.516  # bytes a weight: 4 bits, and a nested scale for each 64
STATES = {"adamw_8bit": 2 * (1 + 4 / 256), "paged_adamw_8bit": 2 * (1 + 4 / 256), "adamw_torch_8bit": 2 * (1 + 4 / 256)}
SMALL = 4096  # numbers; parameters up to here keep their states in full beside 8 bit ones
# Bytes a token leaves in a layer for each number of H, A and I: norms and the inputs of projections; queries, keys,
# values and what comes out of attention, twice; what goes into and comes out of the activation, and its products.
KEPT = {
    ("float32", "float32"): (24, 20, 16),
    ("float32", "bfloat16"): (26, 10, 8),
    ("bfloat16", "bfloat16"): (16, 10, 8),
}
LOGITS = {"float32": 16, "bfloat16": 18}  # bytes a token and token id: logits, their logarithms, gradients of both
TRIED = 1.1  # times what is free: an estimate so near to it is tried, for it may be as much too high
CGROUP = Path("/sys/fs/cgroup")
GROUP_FILES = (  # of the limit and of what is used, in the second version of control groups and in the first
    ("memory.max", "memory.current"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
)


@dataclass(frozen=True)
class Estimate:
    """Bytes on one device. `gradients` and `activations` are there together only where a batch is read in parts."""

    weights: float
    copies: float
    gradients: float
    optimiser: float
    activations: float
    logits: float
    in_parts: bool

    @property
    def peak(self) -> float:
        forward = self.activations + self.logits
        changing = forward + self.gradients if self.in_parts else max(forward, self.gradients)
        return self.weights + self.copies + self.optimiser + changing

    @property
    def said(self) -> str:
        named = {
            "weights": self.weights,
            "rounded copies of them": self.copies,
            "gradients": self.gradients,
            "the optimiser": self.optimiser,
            "activations": self.activations,
            "logits": self.logits,
        }
        return ", ".join(f"{giga(size)} {name}" for name, size in named.items() if size >= 1e6) or "next to nothing"


def estimate(
    model: PreTrainedModel, recipe: dict[str, Any], *, longest: int, split: int = 1, n_devices: int = 1
) -> Estimate:
    """What fine-tuning takes at its peak; the model may be one without weights (`without_weights`).

    Parameters
    ----------
    longest : tokens of the longest example, or row of packed ones
    split, n_devices : as of fine_tune
    """
    recipe = full_recipe(recipe)
    held, dtype = SIZE[recipe["weights_dtype"]], recipe["dtype"]
    weights = {name: each.numel() for name, each in model.named_parameters()}
    trained = [each.shape for each in model.parameters() if each.requires_grad]
    if recipe["method"] == "lora":
        trained, learned = _adapter(model, recipe["lora"]), SIZE["float32"]
    else:
        learned = held
    n_trained = sum(map(math.prod, trained))
    copies = 2 * n_trained if (held, dtype) == (4, "bfloat16") and recipe["method"] == "full" else 0
    part, n_parts = parts_of(recipe, split, n_devices)
    n_tokens = part * longest
    return Estimate(
        weights=_held(model, weights, held, in_4bit=recipe["load_in_4bit"])
        + (learned * n_trained if recipe["method"] == "lora" else 0),
        copies=copies,
        gradients=learned * n_trained,
        optimiser=_states(recipe["optim"], trained, learned),
        activations=n_tokens * _activations(model, recipe, longest),
        logits=0.0 if recipe["use_liger_kernel"] else n_tokens * LOGITS[dtype] * n_vocabulary(model),
        in_parts=n_parts > 1,
    )


@dataclass(frozen=True)
class Room:
    """What a device had free before anything was loaded, and how an attempt would use it: see `fine_tune`."""

    free: float
    n_devices: int = 1
    split: int = 1

    @classmethod
    def of(cls, device: torch.device, ranks: Ranks, split: int) -> Room:
        """On the CPU its processes share what the host has."""
        shared = ranks.size if device.type == "cpu" else 1
        free = free_memory(device)
        return cls((ranks.told(free) if shared > 1 else free) / shared, ranks.size, split)

    def check_weights(self, folder: Path, recipe: dict[str, Any]) -> None:
        """Raises WillNotFit before the weights are loaded, where they or what is made of them are too large; says
        nothing where the model cannot be built without them."""
        model = without_weights(folder)
        if model is not None:
            check_fits(model, recipe, replace(self, split=recipe["batch_size"]), 1)

    def check(self, model: PreTrainedModel, recipe: dict[str, Any], longest: int) -> None:
        """Raises WillNotFit; `longest`: tokens of the longest example."""
        longest = recipe["max_tokens"] if recipe.get("packing") else longest
        check_fits(model, recipe, self, longest)

    def estimate(self, model: PreTrainedModel, recipe: dict[str, Any], longest: int) -> Estimate:
        return estimate(model, recipe, longest=longest, split=self.split, n_devices=self.n_devices)


def check_fits(model: PreTrainedModel, recipe: dict[str, Any], room: Room, longest: int) -> None:
    """Raises WillNotFit, with the parts and what would change them, where the device has too little memory free."""
    needed = room.estimate(model, recipe, longest)
    if needed.peak > TRIED * room.free:
        raise WillNotFit(
            f"fine-tuning takes about {giga(needed.peak)} and {giga(room.free)} are free: {needed.said}; "
            f"{advice(model, recipe, room, longest)}"
        )


def without_weights(folder: Path) -> PreTrainedModel | None:
    """The model of a folder's config on torch's meta device; None where there is none that can be built so."""
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False, local_files_only=True)
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            model = kind_of(config).from_config(config)
    except Exception:  # loading will say what is wrong
        return None
    assert isinstance(model, PreTrainedModel)
    freeze_other_senses(model)
    return model


def free_memory(device: torch.device) -> float:
    """Bytes that are free on the device; on the CPU of the host and of the control group that this process is in."""
    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    return float(min(psutil.virtual_memory().available, _left_in_group()))


def giga(n_bytes: float) -> str:
    return f"{n_bytes / 1e9:,.1f} GB"


def _held(model: PreTrainedModel, weights: dict[str, int], held: int, *, in_4bit: bool) -> float:
    if not in_4bit:
        return float(held * sum(weights.values()))
    head = model.get_output_embeddings()
    packed = {
        f"{name}.weight"
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and module is not head
    }
    return sum(n * (IN_4_BITS if name in packed else held) for name, n in weights.items())


def _adapter(model: PreTrainedModel, lora: dict[str, Any]) -> list[torch.Size]:
    """Shapes of what LoRA trains."""
    shapes = []
    for name in lora_modules(model, lora):
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        n_out, n_in = weight.shape[0], weight.shape[-1]
        shapes += [torch.Size((lora["rank"], n_in)), torch.Size((n_out, lora["rank"]))]
        shapes += [torch.Size((n_out,))] * lora["use_dora"]
    saved = tuple(lora["modules_to_save"] or ())
    for name, module in model.named_modules():
        if saved and name.endswith(saved):
            shapes += [each.shape for each in module.parameters()]
    return shapes


def _states(optim: str, trained: Sequence[torch.Size], size: int) -> float:
    if optim == "adafactor":  # a mean square for each row and column of a matrix
        return float(sum(4 * (sum(shape) if len(shape) > 1 else math.prod(shape)) for shape in trained))
    usual = 2.0 * size
    return sum(n * (STATES.get(optim, usual) if n > SMALL else usual) for n in map(math.prod, trained))


def _activations(model: PreTrainedModel, recipe: dict[str, Any], longest: int) -> float:
    """Bytes that one token leaves for the backward pass."""
    config = model.config.get_text_config(decoder=True)
    width, n_layers = (_number(config, name, 1) for name in ("hidden_size", "num_hidden_layers"))
    n_heads = _number(config, "num_attention_heads", 1)
    heads = n_heads * _number(config, "head_dim", max(1, width // n_heads))
    of_hidden, of_heads, of_inner = KEPT[recipe["weights_dtype"], recipe["dtype"]]
    layer = of_hidden * width + of_heads * heads + of_inner * _inner(config, width)
    if recipe["attn_implementation"] == "eager":  # every score, and what softmax and dropout make of it
        layer += n_heads * longest * 3 * SIZE[recipe["dtype"]]
    if recipe["activation_checkpointing"]:
        return n_layers * width * SIZE[recipe["weights_dtype"]] + layer
    return n_layers * layer


def _inner(config: Any, width: int) -> int:
    """Numbers of a token inside the feed-forward part: of the experts it meets, where there are some."""
    inner = _number(config, "moe_intermediate_size", _number(config, "intermediate_size", 4 * width))
    return inner * _number(config, "num_experts_per_tok", 1)


def _number(config: Any, name: str, otherwise: int) -> int:
    """What a config says: one number, or of several, one a layer, the largest."""
    said = getattr(config, name, None)
    found = [
        each for each in (said if isinstance(said, list | tuple) else [said]) if isinstance(each, int) and each > 0
    ]
    return max(found, default=otherwise)


LORA = {"rank": 16, "alpha": 32.0, "dropout": 0.0, "target_modules": "all-linear"}
IN_PARTS = "per_device_train_batch_size 1"
CHANGES: dict[str, dict[str, Any]] = {
    "activation_checkpointing": {"activation_checkpointing": True},
    IN_PARTS: {"per_device_train_batch_size": 1},
    "optim adamw_8bit (bitsandbytes)": {"optim": "adamw_8bit"},
    "weights_dtype and dtype bfloat16": {"weights_dtype": "bfloat16", "dtype": "bfloat16"},
    'method "lora"': {"method": "lora", "lora": LORA},
}


def advice(model: PreTrainedModel, recipe: dict[str, Any], room: Room, longest: int) -> str:
    """The fields of the recipe that would lower it, in the order of what they cost, until it would fit."""
    recipe, taken = full_recipe(recipe), list[str]()
    for name, change in CHANGES.items():
        if recipe["method"] == "lora" and "method" in change:
            continue
        try:
            before, after = (room.estimate(model, each, longest).peak for each in (recipe, recipe | change))
        except ForgetcastError:  # no module that LoRA could be put on
            continue
        if after >= before:
            continue
        taken.append(name)
        recipe |= change
        if after <= room.free:
            more = "; several devices share a batch (`forgetcast worker --devices`)" if IN_PARTS in taken else ""
            return f"it would fit with {', '.join(taken)} (about {giga(after)}), or on a larger device{more}"
    with_all = f" even with {', '.join(taken)}" if taken else ""
    return f"it would not fit{with_all}; take a larger device, or a smaller model"


def _left_in_group() -> float:
    """Bytes that the control group of a container leaves; infinite where it sets no limit."""
    for limit, used in GROUP_FILES:
        try:
            most, now = ((CGROUP / name).read_text(encoding="ascii").strip() for name in (limit, used))
            return math.inf if most == "max" else float(max(0, int(most) - int(now) + _reclaimable(CGROUP / limit)))
        except (OSError, ValueError):
            continue
    return math.inf


def _reclaimable(limit: Path) -> int:
    """Bytes of files in the group's cache, which the kernel gives up when memory is asked for."""
    said = (limit.parent / "memory.stat").read_text(encoding="ascii").splitlines()
    found = dict(line.split() for line in said)
    return int(found.get("inactive_file", found.get("total_inactive_file", 0)))
