"""How a task is fine-tuned, and how log-perplexity is measured."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    field_serializer,
    field_validator,
    model_serializer,
    model_validator,
)

from forgetcast.recipe_defaults import RECIPE_DEFAULTS
from forgetcast.schemas.base import FirstError, Id, Label, Seed, Sha256, Shape


class Dtype(StrEnum):
    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


Module = Annotated[Label, Field(max_length=128)]


class WithLaterFields(Shape):
    """A shape that fields were added to: at their defaults they are left out of JSON, so that what was stored and
    digested before a field existed stays equal to itself."""

    LATER: ClassVar[frozenset[str]] = frozenset()

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, written: SerializerFunctionWrapHandler) -> dict[str, Any]:
        fields = type(self).model_fields
        usual = {name for name in self.LATER if getattr(self, name) == fields[name].get_default()}
        return {name: value for name, value in written(self).items() if name not in usual}


class Lora(WithLaterFields):
    """LoRA adapter: rank, scale and the modules it is put on (peft's names; "all-linear" for every linear layer)."""

    LATER = frozenset({"use_dora", "use_rslora", "modules_to_save"})

    rank: int = Field(ge=1, le=1024)
    alpha: float = Field(gt=0, allow_inf_nan=False)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: Module | Annotated[list[Module], FirstError, Field(max_length=1024)] = "all-linear"
    use_dora: bool = Field(default=False, description="DoRA: magnitude and direction of weights apart")
    use_rslora: bool = Field(default=False, description="scale by alpha over the square root of the rank")
    modules_to_save: Annotated[list[Module], FirstError, Field(max_length=64)] | None = Field(
        default=None, description="modules that are trained in full beside the adapter: embed_tokens, lm_head"
    )


class Replay(Shape):
    """Upstream examples that were mixed into a fine-tuning: another recipe than the same one without them."""

    strategy: Literal["uniform", "sample", "top", "online"] = Field(
        description="drawn evenly, from a forecast, its highest, or evenly until a forecast of the run itself came"
    )
    ratio: float = Field(gt=0, le=10, description="replayed examples to one of the task's")
    forecast_of: Id | None = Field(default=None, description="the task whose forecast they were drawn from")
    seed: Seed = Field(default=0, description="of the draw")

    @model_validator(mode="after")
    def _a_forecast_is_of_a_task(self) -> Replay:
        if (self.forecast_of is None) != (self.strategy in ("uniform", "online")):
            raise ValueError('`forecast_of` names a task with the strategies "sample" and "top" and only then')
        return self


class Recipe(WithLaterFields):
    """How a task is fine-tuned. The seed is not part of it: every measured row records its own."""

    LATER = frozenset({*RECIPE_DEFAULTS, "steps"})

    method: Literal["full", "lora"]
    learning_rate: float = Field(gt=0, le=1)
    steps: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="updates; this or `num_train_epochs`"
    )
    batch_size: int = Field(ge=1, le=4096, description="examples of an update, over all parts and devices")
    max_tokens: int = Field(ge=2, le=1_048_576, description="tokens of an example beyond this are cut")
    warmup_steps: float = Field(
        default=0, ge=0, le=1_000_000, description="a whole number, or a share of all steps when below 1"
    )
    schedule: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "linear"
    weight_decay: float = Field(default=0.0, ge=0, le=1)
    dtype: Dtype = Dtype.BFLOAT16
    lora: Lora | None = None
    max_grad_norm: float = Field(
        default=RECIPE_DEFAULTS["max_grad_norm"],
        ge=0,
        allow_inf_nan=False,
        description="gradients are clipped to it; 0: not",
    )
    optim: Literal[
        "adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "adamw_torch_8bit", "adafactor"
    ] = Field(default=RECIPE_DEFAULTS["optim"], description="transformers' names; 8 bits need bitsandbytes or torchao")
    adam_beta1: float = Field(default=RECIPE_DEFAULTS["adam_beta1"], ge=0, lt=1)
    adam_beta2: float = Field(default=RECIPE_DEFAULTS["adam_beta2"], ge=0, lt=1)
    adam_epsilon: float = Field(default=RECIPE_DEFAULTS["adam_epsilon"], gt=0, le=1)
    completion_only_loss: bool = Field(
        default=RECIPE_DEFAULTS["completion_only_loss"],
        description="learn from completions and replies alone; false: from prompts and other turns too",
    )
    append_eos: bool = Field(
        default=RECIPE_DEFAULTS["append_eos"],
        description="end texts and completions with the tokenizer's EOS, as TRL does; chat templates end their own",
    )
    per_device_train_batch_size: Annotated[int, Field(ge=1, le=4096)] | None = Field(
        default=RECIPE_DEFAULTS["per_device_train_batch_size"],
        description="examples of an update that are read at once: the same updates with less memory; by default all",
    )
    activation_checkpointing: bool = Field(
        default=RECIPE_DEFAULTS["activation_checkpointing"], description="less memory for a third more time"
    )
    num_train_epochs: Annotated[float, Field(gt=0, le=1000)] | None = Field(
        default=RECIPE_DEFAULTS["num_train_epochs"], description="passes over the data; this or `steps`"
    )
    packing: bool = Field(
        default=RECIPE_DEFAULTS["packing"],
        description="several examples in a row of up to `max_tokens`, each read apart from the others; `batch_size` "
        "then counts rows",
    )
    weights_dtype: Dtype = Field(
        default=Dtype(RECIPE_DEFAULTS["weights_dtype"]),
        description="what the weights are held in, before and after; float32: they are the master weights, of which "
        "`dtype` bfloat16 computes with rounded copies. LoRA's own weights are float32 always",
    )
    load_in_4bit: bool = Field(
        default=RECIPE_DEFAULTS["load_in_4bit"],
        description="QLoRA: the frozen base in 4 bits (NF4, nested), by bitsandbytes",
    )
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2", "flex_attention"] | None = Field(
        default=RECIPE_DEFAULTS["attn_implementation"],
        description="transformers' names, for fine-tuning and for measuring; by default what the model takes itself",
    )
    replay: Replay | None = Field(
        default=RECIPE_DEFAULTS["replay"], description="of a run that replayed; never of a matrix's own recipe"
    )

    use_liger_kernel: bool = Field(
        default=RECIPE_DEFAULTS["use_liger_kernel"],
        description="the loss fused with the vocabulary product, by liger-kernel on a GPU; none of its other kernels",
    )

    @field_validator("warmup_steps")
    @classmethod
    def _whole_or_a_share(cls, steps: float) -> float:
        if steps > 1 and not steps.is_integer():
            raise ValueError("must be a whole number of steps, or a share of them below 1")
        return steps

    @field_serializer("warmup_steps")
    def _as_it_is_written(self, steps: float) -> float:
        return int(steps) if float(steps).is_integer() else steps

    @model_validator(mode="after")
    def _lora_belongs_to_its_method(self) -> Recipe:
        if (self.method == "lora") != (self.lora is not None):
            raise ValueError('`lora` is given with method "lora" and only then')
        return self

    @model_validator(mode="after")
    def _one_length(self) -> Recipe:
        if (self.steps is None) == (self.num_train_epochs is None):
            raise ValueError("give `steps` or `num_train_epochs`, exactly one of them")
        return self

    @model_validator(mode="after")
    def _weights_go_with_the_rest(self) -> Recipe:
        if self.weights_dtype is Dtype.BFLOAT16 and self.dtype is not Dtype.BFLOAT16:
            raise ValueError("`weights_dtype` bfloat16 needs `dtype` bfloat16: nothing computes more exactly than that")
        if self.use_liger_kernel and self.method == "full" and self.weights_dtype is Dtype.BFLOAT16:
            raise ValueError(
                "`use_liger_kernel` would add up the gradients of the vocabulary matrix in bfloat16; leave it out, or "
                "set `weights_dtype` float32"
            )
        if self.load_in_4bit and (self.method != "lora" or self.weights_dtype is not Dtype.BFLOAT16):
            raise ValueError('`load_in_4bit` needs method "lora", and `weights_dtype` bfloat16 for the other weights')
        return self

    @model_validator(mode="after")
    def _parts_make_up_the_batch(self) -> Recipe:
        part = self.per_device_train_batch_size
        if part is not None and self.batch_size % part:
            raise ValueError(f"`per_device_train_batch_size` {part} does not divide `batch_size` {self.batch_size}")
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


def measurable_under(recipe: Recipe, setting: Setting) -> str | None:
    """Why weights as the recipe holds them cannot be read as the setting says; None where they can."""
    if recipe.weights_dtype is Dtype.BFLOAT16 and setting.dtype is not Dtype.BFLOAT16:
        return "weights held in bfloat16 are not read in float32; set the setting's dtype to bfloat16"
    return None
