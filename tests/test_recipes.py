"""Recipes: what was stored before a field existed means and is written as what it always was."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forgetcast.recipe_defaults import LORA_DEFAULTS, RECIPE_DEFAULTS, full_recipe, n_steps
from forgetcast.schemas import Lora, MatrixCreate, Recipe
from service.operations.base_values import key as base_values_key
from service.operations.canonical import sha256_of
from service.storage.tables import Matrix

STORED: dict[str, Any] = {
    "method": "lora",
    "learning_rate": 1e-4,
    "steps": 12,
    "batch_size": 8,
    "max_tokens": 64,
    "warmup_steps": 0,
    "schedule": "linear",
    "weight_decay": 0.0,
    "dtype": "float32",
    "lora": {"rank": 8, "alpha": 16.0, "dropout": 0.0, "target_modules": "all-linear"},
}


def test_a_recipe_from_before_a_field_existed_is_written_as_it_was() -> None:
    read = Recipe.model_validate(STORED)
    assert read.model_dump(mode="json") == STORED
    assert list(read.model_dump(mode="json")) == list(STORED)


@pytest.mark.parametrize("name", sorted(RECIPE_DEFAULTS))
def test_a_field_at_its_default_is_the_same_recipe(name: str) -> None:
    assert Recipe.model_validate(STORED | {name: RECIPE_DEFAULTS[name]}).model_dump(mode="json") == STORED


def test_a_field_that_differs_is_written() -> None:
    lora = STORED["lora"] | {"use_dora": True}
    assert Recipe.model_validate(STORED | {"append_eos": True, "lora": lora}).model_dump(mode="json") == STORED | {
        "append_eos": True,
        "lora": lora,
    }


def test_epochs_are_written_in_the_place_of_steps() -> None:
    in_epochs = {name: value for name, value in STORED.items() if name != "steps"} | {"num_train_epochs": 1.5}
    assert Recipe.model_validate(in_epochs).model_dump(mode="json") == in_epochs
    assert n_steps(in_epochs, 20) == 5  # one and a half times 3 updates of at most 8
    assert n_steps(STORED, 20) == 12


def test_weights_in_bfloat16_are_not_read_in_float32() -> None:
    matrix = {"upstream_set": "u", "model": "m", "setting": {"dtype": "float32"}}
    held = STORED | {"dtype": "bfloat16", "weights_dtype": "bfloat16"}
    with pytest.raises(ValidationError, match="set the setting's dtype to bfloat16"):
        MatrixCreate.model_validate(matrix | {"recipe": held})
    MatrixCreate.model_validate(matrix | {"recipe": held, "setting": {"dtype": "bfloat16"}})
    MatrixCreate.model_validate(matrix | {"recipe": STORED | {"dtype": "bfloat16"}})  # float32 weights, as always


@pytest.mark.parametrize(
    ("name", "value", "apart"),
    [
        ("weights_dtype", "bfloat16", True),
        ("load_in_4bit", True, True),
        ("attn_implementation", "eager", True),
        ("weights_dtype", "float32", False),
        ("packing", True, False),
        ("steps", 3, False),
    ],
)
def test_base_values_are_shared_by_recipes_that_read_the_model_alike(name: str, value: Any, apart: bool) -> None:
    def key(recipe: dict[str, Any]) -> Any:
        setting = {"scored": "all", "dtype": "bfloat16"}
        return base_values_key(Matrix(upstream_set_id="u", model_revision="r", setting=setting, recipe=recipe))

    assert (key(STORED | {name: value}) != key(STORED)) == apart
    # Values of rounded logits are not used beside those of logits in float32.
    assert key(STORED)[2] != sha256_of({"scored": "all", "dtype": "bfloat16"})


def test_the_fused_loss_adds_up_in_float32_or_is_refused() -> None:
    low = STORED | {"dtype": "bfloat16", "weights_dtype": "bfloat16", "use_liger_kernel": True, "steps": 3}
    with pytest.raises(ValidationError, match="in bfloat16; leave it out"):
        Recipe.model_validate(low | {"method": "full", "lora": None})
    assert Recipe.model_validate(low | {"weights_dtype": "float32", "method": "full", "lora": None}).use_liger_kernel


def test_who_fine_tunes_reads_the_same_defaults() -> None:
    read = Recipe.model_validate(STORED)
    for name, value in full_recipe(STORED).items():
        if name != "lora":
            assert getattr(read, name) == value
    assert isinstance(read.lora, Lora)
    assert {name: getattr(read.lora, name) for name in LORA_DEFAULTS} == LORA_DEFAULTS


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"per_device_train_batch_size": 3}, "does not divide"),
        ({"warmup_steps": 1.5}, "warmup_steps"),
        ({"warmup_steps": -0.1}, "warmup_steps"),
        ({"optim": "sgd"}, "optim"),
        ({"adam_beta1": 1.0}, "adam_beta1"),
        ({"adam_epsilon": 0.0}, "adam_epsilon"),
        ({"max_grad_norm": float("inf")}, "max_grad_norm"),
        ({"warmup_ratio": 0.1}, "warmup_ratio"),
        ({"num_train_epochs": 1}, "exactly one of them"),
        ({"steps": None}, "exactly one of them"),
        ({"steps": None, "num_train_epochs": 0}, "num_train_epochs"),
        ({"weights_dtype": "bfloat16"}, "needs `dtype` bfloat16"),
        ({"dtype": "bfloat16", "load_in_4bit": True}, "load_in_4bit"),
        ({"attn_implementation": "flash"}, "attn_implementation"),
    ],
)
def test_what_no_trainer_can_do_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(STORED | given)


def test_a_run_that_replays_has_another_recipe_and_no_matrix_of_its_own() -> None:
    replay = {"strategy": "sample", "ratio": 0.25, "forecast_of": "t", "seed": 0}
    read = Recipe.model_validate(STORED | {"replay": replay})
    assert read.model_dump(mode="json") == STORED | {"replay": replay}
    with pytest.raises(ValidationError, match="replay nothing"):
        MatrixCreate(upstream_set="s", model="m", recipe=read)


@pytest.mark.parametrize("wrong", [{"strategy": "sample"}, {"strategy": "uniform", "forecast_of": "t"}, {"ratio": 0}])
def test_replay_names_the_forecast_that_it_follows(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Recipe.model_validate(STORED | {"replay": {"strategy": "uniform", "ratio": 0.25} | wrong})
