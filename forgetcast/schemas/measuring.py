"""How a task is fine-tuned, and how log-perplexity is measured."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal

from pydantic import Field, model_validator

from forgetcast.schemas.base import FirstError, Label, Sha256, Shape


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


Module = Annotated[Label, Field(max_length=128)]


class Lora(Shape):
    """LoRA adapter: rank, scale and the modules it is put on (peft's names; "all-linear" for every linear layer)."""

    rank: int = Field(ge=1, le=1024)
    alpha: float = Field(gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Module | Annotated[list[Module], FirstError, Field(max_length=1024)] = "all-linear"


class Recipe(Shape):
    """How a task is fine-tuned. The seed is not part of it: every measured row records its own."""

    method: Literal["full", "lora"]
    learning_rate: float = Field(gt=0, le=1)
    steps: int = Field(ge=1, le=1_000_000)
    batch_size: int = Field(ge=1, le=4096)
    max_tokens: int = Field(ge=2, le=1_048_576, description="tokens of an example beyond this are cut")
    warmup_steps: int = Field(default=0, ge=0, le=1_000_000)
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    dtype: Dtype = Dtype.BFLOAT16
    lora: Lora | None = None

    @model_validator(mode="after")
    def _lora_belongs_to_its_method(self) -> Recipe:
        if (self.method == "lora") != (self.lora is not None):
            raise ValueError('`lora` is given with method "lora" and only then')
        return self


class Setting(Shape):
    """How log-perplexity is measured. The device is provenance of a measurement, not part of its setting."""

    scored: Literal["all", "response"] = "response"
    max_tokens: int = Field(default=1024, ge=2, le=1_048_576)
    dtype: Dtype = Dtype.BFLOAT16
    chat_template_sha256: Sha256 | None = Field(
        default=None,
        description="a job fails where the model has another chat template; by default any is taken",
    )
