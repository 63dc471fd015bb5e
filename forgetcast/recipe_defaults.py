"""What a recipe means where it does not say: fields that were added after the first recipes had been stored.

Known without pydantic, for the child that fine-tunes. The values are those under which the first matrices were made: an
old recipe means what it always meant.
"""

from __future__ import annotations

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
}
LORA_DEFAULTS: dict[str, Any] = {"use_dora": False, "use_rslora": False, "modules_to_save": None}


def full_recipe(stored: dict[str, Any]) -> dict[str, Any]:
    """A stored recipe with every field."""
    lora = stored.get("lora")
    return RECIPE_DEFAULTS | stored | {"lora": None if lora is None else LORA_DEFAULTS | lora}
