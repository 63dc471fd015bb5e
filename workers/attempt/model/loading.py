"""How a base model's weights are loaded: in which precision, on which device, with which attention; packages that this
needs are looked for before."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

import torch
from transformers import BitsAndBytesConfig

from forgetcast.errors import NotForModel
from forgetcast.recipe_defaults import full_recipe

ATTENTION_PACKAGES = {"flash_attention_2": "flash_attn"}  # as modules; the others are torch's own


@dataclass(frozen=True)
class Loading:
    """`dtype`: of the weights as they are held; `attention`: transformers' name, None for what a model takes itself."""

    dtype: torch.dtype = torch.float32
    in_4bit: bool = False
    attention: str | None = None

    @classmethod
    def of(cls, recipe: dict[str, Any]) -> Loading:
        recipe = full_recipe(recipe)
        dtype = getattr(torch, recipe["weights_dtype"])
        return cls(dtype, in_4bit=recipe["load_in_4bit"], attention=recipe["attn_implementation"])

    def check(self, device: torch.device) -> None:
        """Raises NotForModel where the worker lacks a package or a card that this needs."""
        package = ATTENTION_PACKAGES.get(self.attention or "")
        if package is not None:
            _need(f"attn_implementation {self.attention}", package, device)
        if self.in_4bit:
            _need("load_in_4bit", "bitsandbytes", device)

    def arguments(self, device: torch.device) -> dict[str, Any]:
        """What `from_pretrained` is given: one copy of the weights, put on a card as they are read."""
        given: dict[str, Any] = {"dtype": self.dtype}
        if self.attention is not None:
            given["attn_implementation"] = self.attention
        if device.type != "cpu":
            given["device_map"] = {"": device}
        if self.in_4bit:
            given["quantization_config"] = BitsAndBytesConfig(
                load_in_4bit=True,
                bnb_4bit_quant_type="nf4",
                bnb_4bit_use_double_quant=True,
                bnb_4bit_compute_dtype=self.dtype,
            )
        return given


USUAL = Loading()


def _need(what: str, package: str, device: torch.device) -> None:
    if importlib.util.find_spec(package) is None:
        raise NotForModel(f"the recipe's {what} needs {package}, which this worker does not have")
    if device.type != "cuda":
        raise NotForModel(f"the recipe's {what} needs a GPU, and this worker has none")
