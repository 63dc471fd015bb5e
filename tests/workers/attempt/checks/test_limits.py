"""What a base model does not have is said before its base values are measured."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from forgetcast.errors import NotForModel, UnsupportedModel
from tests.workers.language_models import tiny_llama
from tests.workers.zoo import FAMILIES
from workers.attempt.checks.limits import Limits, check_recipe, limits_of, lora_modules
from workers.attempt.texts.tokens import Tokens

LORA: dict[str, Any] = {"rank": 2, "alpha": 4.0, "dropout": 0.0, "target_modules": "all-linear"}


def lora(targets: Any) -> dict[str, Any]:
    return {"method": "lora", "lora": {**LORA, "target_modules": targets}}


def test_token_ids_beyond_the_vocabulary_are_named() -> None:
    with pytest.raises(UnsupportedModel, match=r"the example 'a' has the token id 97, .* ends at 96"):
        Limits(97, None).check([("the example 'a'", Tokens((1, 97), (False, True)))], "max_tokens")


def test_texts_beyond_the_positions_are_named_with_what_to_lower() -> None:
    tokens = Tokens((1,) * 300, (True,) * 300)
    with pytest.raises(NotForModel, match="300 tokens, and the model 256 positions; lower the recipe's max_tokens"):
        limits_of(tiny_llama()).check([("an example", tokens)], "the recipe's max_tokens")
    Limits(97, None).check([("an example", tokens)], "max_tokens")


@pytest.mark.parametrize(
    ("rope", "n_positions"),
    [
        ({"rope_type": "default"}, 64),
        ({"rope_type": "linear", "factor": 2.0}, 128),
        ({"rope_type": "dynamic", "factor": 4.0}, 256),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64}, 256),
        ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, 64),
    ],
)
def test_rotary_scaling_that_the_config_has_not_counted_adds_positions(rope: dict[str, Any], n_positions: int) -> None:
    config = LlamaConfig(
        vocab_size=9, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1,
        max_position_embeddings=64, rope_parameters={"rope_theta": 1e4, **rope},
    )  # fmt: skip
    assert limits_of(LlamaForCausalLM(config)) == Limits(9, n_positions)


@pytest.mark.parametrize(
    "targets",
    [["no_such_proj"], "no_such_proj", ["norm"], ["q_proj", "norm"], ["model"], ["self_attn"], ["rotary_emb"]],
)
def test_a_module_that_is_not_there_or_takes_no_adapter_is_named(targets: Any) -> None:
    with pytest.raises(NotForModel, match=r"LoRA cannot be put on .* of LlamaForCausalLM: .*; change the recipe's"):
        check_recipe(tiny_llama(), lora(targets))


def test_what_can_be_done_is_let_through_and_changes_nothing() -> None:
    model = tiny_llama()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    check_recipe(model, lora(["q_proj", "v_proj"]))
    check_recipe(model, {"method": "full"})
    assert torch.rand(1) == expected, "random numbers that fine-tuning draws stay as they were"
    assert {name: value for name, value in model.state_dict().items()}.keys() == before.keys()
    assert len(lora_modules(model, {**LORA, "target_modules": ["q_proj"]})) == 2


@pytest.mark.filterwarnings("ignore")
def test_lora_takes_the_text_part_of_a_model_that_also_sees() -> None:
    model = next(family for family in FAMILIES if family.name == "qwen2_5_vl").model()
    modules = lora_modules(model, LORA)
    assert modules and all(name.startswith("model.language_model.") for name in modules)


def test_the_fused_loss_needs_its_package() -> None:
    with pytest.raises(NotForModel, match="use_liger_kernel needs liger-kernel, which this worker does not have"):
        check_recipe(tiny_llama(), {"method": "full", "use_liger_kernel": True})


def test_an_optimiser_whose_package_is_absent_is_named_with_it() -> None:
    with pytest.raises(NotForModel, match="adamw_8bit needs bitsandbytes, which this worker does not have"):
        check_recipe(tiny_llama(), {"method": "full", "optim": "adamw_8bit"})
