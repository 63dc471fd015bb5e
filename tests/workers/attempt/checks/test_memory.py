"""The estimate of memory: its exact parts against what torch has, and what is said when it will not fit."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch

from forgetcast.errors import WillNotFit
from tests.workers.attempt.training.test_fine_tune import FULL, LORA
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.checks import memory
from workers.attempt.checks.memory import Room, advice, check_fits, estimate, without_weights
from workers.attempt.training.fine_tune import with_adapter

BFLOAT16 = {"dtype": "bfloat16", "weights_dtype": "bfloat16"}
LONGEST = 32


def bytes_of(tensors: Any) -> int:
    return sum(each.numel() * each.element_size() for each in tensors)


@pytest.mark.parametrize("precision", [{}, BFLOAT16], ids=["float32", "bfloat16"])
@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_weights_gradients_and_moments_are_those_of_torch(recipe: dict[str, Any], precision: dict[str, Any]) -> None:
    recipe = recipe | precision
    expected = estimate(tiny_llama(), recipe, longest=LONGEST)
    model: Any = tiny_llama().to(getattr(torch, recipe.get("weights_dtype", "float32")))
    if recipe["method"] == "lora":
        model = with_adapter(model, recipe["lora"])
    trained = [each for each in model.parameters() if each.requires_grad]
    optimiser = torch.optim.AdamW(trained)
    ids = torch.arange(8)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimiser.step()
    moments = [value for state in optimiser.state.values() for name, value in state.items() if name != "step"]
    assert expected.weights == bytes_of(model.parameters())
    assert expected.gradients == bytes_of(each.grad for each in trained)
    assert expected.optimiser == bytes_of(moments)


def test_adafactor_keeps_a_number_for_each_row_and_column() -> None:
    from transformers import Adafactor

    model = tiny_llama()
    optimiser = Adafactor(model.parameters(), scale_parameter=False, relative_step=False, lr=1e-3)
    ids = torch.arange(8)[None]
    model(input_ids=ids, labels=ids).loss.backward()
    optimiser.step()
    kept = [value for state in optimiser.state.values() for value in state.values() if isinstance(value, torch.Tensor)]
    found = estimate(model, FULL | {"optim": "adafactor"}, longest=LONGEST).optimiser
    assert found == pytest.approx(bytes_of(each for each in kept if each.dim()), rel=0.02)


def test_a_model_without_weights_is_estimated_like_itself(tmp_path: Path) -> None:
    tiny_llama().save_pretrained(tmp_path)
    shell = without_weights(tmp_path)
    assert shell is not None and shell.device.type == "meta"
    for recipe in (FULL, LORA, FULL | BFLOAT16):
        assert estimate(shell, recipe, longest=LONGEST) == estimate(tiny_llama(), recipe, longest=LONGEST)


@pytest.mark.parametrize(
    "change",
    [
        {"activation_checkpointing": True},
        {"per_device_train_batch_size": 1, "batch_size": 8},
        {"optim": "adamw_8bit"},
        {"optim": "adafactor"},
        BFLOAT16,
        LORA,
    ],
    ids=lambda change: next(iter(change)),
)
def test_what_saves_memory_is_estimated_lower(change: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "SMALL", 64)  # as small as the model
    usual = FULL | {"batch_size": 8}
    assert estimate(tiny_llama(), usual | change, longest=256).peak < estimate(tiny_llama(), usual, longest=256).peak


def test_devices_and_splits_share_a_batch() -> None:
    usual = FULL | {"batch_size": 8}
    whole, halved, shared = (
        estimate(tiny_llama(), usual, longest=LONGEST, split=split, n_devices=n)
        for split, n in ((1, 1), (2, 1), (1, 2))
    )
    assert halved.logits == shared.logits == whole.logits / 2
    assert halved.in_parts and not shared.in_parts


def test_four_bits_are_those_of_linear_layers_alone() -> None:
    whole, packed = (
        estimate(tiny_llama(), LORA | BFLOAT16 | more, longest=LONGEST) for more in ({}, {"load_in_4bit": True})
    )
    model = tiny_llama()
    linear = sum(each.numel() for name, each in model.named_parameters() if "_proj" in name)
    assert whole.weights - packed.weights == pytest.approx((2 - memory.IN_4_BITS) * linear)


def test_what_will_not_fit_is_refused_with_its_parts_and_what_would() -> None:
    model, recipe = tiny_llama(), FULL | {"batch_size": 8}
    needed = estimate(model, recipe, longest=256)
    check_fits(model, recipe, Room(needed.peak), 256)
    with pytest.raises(WillNotFit) as refused:
        check_fits(model, recipe, Room(needed.peak / 2), 256)
    assert "logits" in str(refused.value) and "it would fit with activation_checkpointing" in str(refused.value)
    assert not refused.value.retryable


def test_advice_goes_on_until_it_fits_and_says_when_nothing_does(monkeypatch: pytest.MonkeyPatch) -> None:
    model, recipe = tiny_llama(), FULL | {"batch_size": 8}
    lean = BFLOAT16 | {"per_device_train_batch_size": 1, "activation_checkpointing": True}
    lora = {"method": "lora", "lora": memory.LORA | {"rank": 4}}
    monkeypatch.setattr(memory, "CHANGES", memory.CHANGES | {'method "lora"': lora})
    in_full, adapted = (estimate(model, recipe | lean | more, longest=4).peak for more in ({}, lora))
    assert adapted < in_full
    assert 'method "lora"' in advice(model, recipe, Room(adapted), 4)
    assert advice(model, recipe, Room(10.0), 64).startswith("it would not fit even with")


def test_a_control_group_bounds_what_is_free(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "CGROUP", tmp_path)
    host = memory.free_memory(torch.device("cpu"))
    assert math.isfinite(host)
    for name, said in (
        ("memory.max", "5000"),
        ("memory.current", "4000"),
        ("memory.stat", "anon 3000\ninactive_file 500"),
    ):
        (tmp_path / name).write_text(said + "\n")
    assert memory.free_memory(torch.device("cpu")) == 1500
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.free_memory(torch.device("cpu")) > 5000


def test_weights_that_are_too_large_are_not_loaded(tmp_path: Path) -> None:
    tiny_llama().save_pretrained(tmp_path)
    character_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(WillNotFit, match="weights"):
        Room(1e4).check_weights(tmp_path, FULL)
    Room(1e9).check_weights(tmp_path, FULL)
    (tmp_path / "config.json").write_text("{}")
    Room(1e4).check_weights(tmp_path, FULL)  # loading says what is wrong with it
