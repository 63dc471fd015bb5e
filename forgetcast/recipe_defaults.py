"""What a recipe means where it does not say: fields that were added after the first recipes had been stored.

Known without pydantic, for the child that fine-tunes. The values are those under which the first matrices were made: an
old recipe means what it always meant.

A recipe of dtype bfloat16 that says nothing of `weights_dtype` keeps its weights in float32 and computes in bfloat16 by
autocast, as such recipes did before the field existed; `weights_dtype` bfloat16 holds the weights themselves in it.
"""

from __future__ import annotations

import math
from typing import Any

RECIPE_DEFAULTS: dict[str, Any] = {
    "max_grad_norm": 1.0,
    "optim": "adamw_torch_fused",
    "adam_beta1": 0.9,
    "adam_beta2": 0.999,
    "adam_epsilon": 1e-8,
    "completion_only_loss": True,
    "append_eos": False,
    "per_device_train_batch_size": None,
    "activation_checkpointing": False,
    "num_train_epochs": None,
    "packing": False,
    "weights_dtype": "float32",
    "load_in_4bit": False,
    "attn_implementation": None,
    "use_liger_kernel": False,
    "replay": None,
}
HOW_WEIGHTS_ARE_READ = ("weights_dtype", "load_in_4bit", "attn_implementation")
LORA_DEFAULTS: dict[str, Any] = {"use_dora": False, "use_rslora": False, "modules_to_save": None}


def full_recipe(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored recipe with every field."""
    lora = stored.get("lora")
    return RECIPE_DEFAULTS | {"steps": None} | stored | {"lora": None if lora is None else LORA_DEFAULTS | lora}


def n_steps(recipe: dict[str, Any], n_rows: int) -> int:
    """Updates of a whole fine-tuning: as many as the recipe says, or as its epochs over so many rows have.

    A row is an example, or with packing what is read as one. An epoch's last update has what is left.
    """
    recipe = full_recipe(recipe)
    if recipe["num_train_epochs"] is None:
        return int(recipe["steps"])
    epochs: float = recipe["num_train_epochs"]
    updates_an_epoch: int = math.ceil(n_rows / recipe["batch_size"])
    return max(1, math.ceil(epochs * updates_an_epoch))


def how_weights_are_read(recipe: dict[str, Any]) -> dict[str, Any]:
    """What of a recipe changes the values of the base model itself; empty where all is as it always was.

    Values from before fine-tuning are shared only by recipes for which this is the same.
    """
    full = full_recipe(recipe)
    return {name: full[name] for name in HOW_WEIGHTS_ARE_READ if full[name] != RECIPE_DEFAULTS[name]}
