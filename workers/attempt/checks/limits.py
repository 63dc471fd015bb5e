"""What can be asked of a base model: token ids and positions that it has, modules that LoRA can take.

Checked before the base is measured, for none of it changes on another try.
"""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from transformers import PreTrainedModel

from forgetcast.errors import NotForModel, UnsupportedModel
from forgetcast.recipe_defaults import full_recipe
from workers.attempt.model.own_code import first_line
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import with_adapter
from workers.attempt.training.packing import check_packing

OPTIMISER_PACKAGES = {"adamw_8bit": "bitsandbytes", "paged_adamw_8bit": "bitsandbytes", "adamw_torch_8bit": "torchao"}
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len")  # names that configs give the same number


@dataclass(frozen=True)
class Limits:
    """How many token ids the model has, and how many positions; None where they are not bounded."""

    n_vocabulary: int
    n_positions: int | None

    def check(self, named: Iterable[tuple[str, Tokens]], cut_by: str) -> None:
        """`named`: sequences with what to call them; `cut_by`: what says how long they may be.

        Raises
        ------
        UnsupportedModel : the tokenizer makes an id that the model does not have
        NotForModel : a sequence is longer than the model has positions
        """
        for name, tokens in named:
            largest = max(tokens.ids, default=0)
            if largest >= self.n_vocabulary:
                raise UnsupportedModel(
                    f"{name} has the token id {largest}, and the model's vocabulary ends at {self.n_vocabulary - 1}: "
                    "tokenizer and weights are not of one model"
                )
            if self.n_positions is not None and len(tokens) > self.n_positions:
                raise NotForModel(
                    f"{name} has {len(tokens)} tokens, and the model {self.n_positions} positions; lower {cut_by}"
                )


def limits_of(model: PreTrainedModel) -> Limits:
    config = model.config.get_text_config(decoder=True)
    found = [value for name in POSITIONS if isinstance(value := getattr(config, name, None), int) and value > 0]
    n_positions = math.floor(found[0] * _stretched(config)) if found else None
    return Limits(n_vocabulary(model), n_positions)


def n_vocabulary(model: PreTrainedModel) -> int:
    """Token ids that the model has an embedding for."""
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, torch.Tensor)
    return int(weight.shape[0])


def _stretched(config: Any) -> float:
    """How many times the positions of the config rotary scaling makes, where they are those from before it."""
    parameters = getattr(config, "rope_parameters", None) or {}
    nested = [value for value in parameters.values() if isinstance(value, dict)]
    return max((_factor(config, each) for each in nested or [parameters]), default=1.0)


def _factor(config: Any, rope: dict[str, Any]) -> float:
    if rope.get("rope_type", "default") not in ("linear", "dynamic", "yarn"):
        return 1.0
    original = rope.get("original_max_position_embeddings")
    before = original is None or original == config.max_position_embeddings
    return max(1.0, float(rope.get("factor") or 1.0)) if before else 1.0


def check_recipe(model: PreTrainedModel, recipe: dict[str, Any], longest: int = 0) -> None:
    """Raises NotForModel when the recipe asks for what cannot be done with this model; `longest`: tokens of the longest
    example."""
    recipe = full_recipe(recipe)
    if recipe["packing"]:
        check_packing(model, longest)
    package = OPTIMISER_PACKAGES.get(recipe["optim"])
    if package is not None and importlib.util.find_spec(package) is None:
        raise NotForModel(f"the recipe's optim {recipe['optim']} needs {package}, which this worker does not have")
    if recipe["use_liger_kernel"]:
        _check_liger(model)
    if recipe["method"] == "lora":
        lora_modules(model, recipe["lora"])
    elif getattr(model, "is_quantized", False):
        raise NotForModel("the base model's weights are quantised, which can be fine-tuned with LoRA only")


def _check_liger(model: PreTrainedModel) -> None:
    if importlib.util.find_spec("liger_kernel") is None:
        raise NotForModel("the recipe's use_liger_kernel needs liger-kernel, which this worker does not have")
    if model.device.type != "cuda":
        raise NotForModel("the recipe's use_liger_kernel needs a GPU, and this worker has none")


def lora_modules(model: PreTrainedModel, lora: dict[str, Any]) -> Sequence[str]:
    """Names of the modules that would get an adapter, found on a copy of the model without weights.

    Raises
    ------
    NotForModel : no module has such a name, or one that has cannot take an adapter
    """
    try:
        with torch.random.fork_rng(devices=[]), torch.device("meta"):
            shell = type(model)(model.config)
    except Exception:  # an architecture that needs real weights to be built: fine-tuning will say
        return ()
    try:
        with torch.random.fork_rng(devices=[]):  # an adapter draws its first weights
            adapted: Any = with_adapter(shell, lora).base_model
            return tuple(adapted.targeted_module_names)
    except Exception as error:
        targets = lora["target_modules"]
        wanted = targets if isinstance(targets, str) else ", ".join(targets)
        said = first_line(error).rstrip(".")
        raise NotForModel(
            f"LoRA cannot be put on {wanted} of {type(model).__name__}: {said}; change the recipe's target_modules"
        ) from error
