"""Recipes: what was stored before a field existed means and is written as what it always was."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from forgetcast.recipe_defaults import LORA_DEFAULTS, RECIPE_DEFAULTS, full_recipe
from forgetcast.schemas import Lora, Recipe

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
    ],
)
def test_what_no_trainer_can_do_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Recipe.model_validate(STORED | given)
