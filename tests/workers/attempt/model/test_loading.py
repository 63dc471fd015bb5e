"""Weights in the recipe's precision, on this worker's device, with the recipe's attention; or refused by name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaForCausalLM

from forgetcast.errors import NotForModel
from tests.workers.attempt.test_resume import Job
from tests.workers.attempt.training.test_fine_tune import FULL, LORA
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.model.loading import Loading
from workers.attempt.model.model_folder import load_model
from workers.attempt.training.fine_tune import with_adapter
from workers.job_directory import read_result

CPU = torch.device("cpu")
BFLOAT16 = {"dtype": "bfloat16", "weights_dtype": "bfloat16"}


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("recipe", "dtype"),
    [
        (FULL, torch.float32),
        (FULL | {"dtype": "bfloat16"}, torch.float32),  # as recipes from before the field mean it
        (FULL | BFLOAT16, torch.bfloat16),
    ],
    ids=["float32", "bfloat16 over float32", "bfloat16"],
)
def test_weights_are_held_as_the_recipe_says(model_folder: Path, recipe: dict[str, Any], dtype: torch.dtype) -> None:
    model, _tokenizer = load_model(model_folder, CPU, Loading.of(recipe))
    assert {weight.dtype for weight in model.parameters()} == {dtype}


def test_adapters_are_float32_over_whatever_base(model_folder: Path) -> None:
    model, _tokenizer = load_model(model_folder, CPU, Loading.of(LORA | BFLOAT16))
    adapted = with_adapter(model, LORA["lora"])
    assert {weight.dtype for weight in adapted.parameters() if weight.requires_grad} == {torch.float32}
    assert {weight.dtype for weight in adapted.parameters() if not weight.requires_grad} == {torch.bfloat16}


def test_attention_is_that_of_the_recipe(model_folder: Path) -> None:
    eager, _tokenizer = load_model(model_folder, CPU, Loading.of(FULL | {"attn_implementation": "eager"}))
    assert eager.config._attn_implementation == "eager"


def test_attention_that_a_model_does_not_have_is_named(model_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LlamaForCausalLM, "_supports_flex_attn", False)
    monkeypatch.setattr("transformers.LlamaModel._supports_flex_attn", False)
    with pytest.raises(NotForModel, match="attn_implementation flex_attention"):
        load_model(model_folder, CPU, Loading.of(FULL | {"attn_implementation": "flex_attention"}))


@pytest.mark.parametrize(
    ("asked", "package"),
    [({"load_in_4bit": True}, "bitsandbytes"), ({"attn_implementation": "flash_attention_2"}, "flash_attn")],
)
def test_packages_and_cards_are_looked_for_before_anything_is_loaded(
    asked: dict[str, Any], package: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loading = Loading.of(LORA | BFLOAT16 | asked)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotForModel, match=f"needs {package}, which this worker does not have"):
        loading.check(torch.device("cuda"))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with pytest.raises(NotForModel, match="needs a GPU"):
        loading.check(CPU)
    loading.check(torch.device("cuda"))


def test_four_bits_are_those_of_qlora() -> None:
    given = Loading.of(LORA | BFLOAT16 | {"load_in_4bit": True}).arguments(torch.device("cuda", 0))
    config = given["quantization_config"].to_dict()
    assert config["load_in_4bit"] and config["bnb_4bit_quant_type"] == "nf4" and config["bnb_4bit_use_double_quant"]
    assert config["bnb_4bit_compute_dtype"] == "bfloat16"
    assert given["device_map"] == {"": torch.device("cuda", 0)} and given["dtype"] is torch.bfloat16


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_a_job_in_bfloat16_is_measured_before_and_after_with_its_own_weights(
    model_folder: Path, recipe: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    setting = {"scored": "response", "max_tokens": 32, "dtype": "bfloat16", "chat_template_sha256": None}
    monkeypatch.setattr("tests.workers.attempt.test_resume.SETTING", setting)
    job = Job(tmp_path / "job", model_folder, recipe | BFLOAT16, monkeypatch)
    job.attempt()
    first = read_result(job.folder)
    in_float32 = Job(tmp_path / "float32", model_folder, recipe, monkeypatch)
    in_float32.attempt()
    other = read_result(in_float32.folder)
    assert first.before == pytest.approx(other.before, abs=0.1) and (first.before != other.before).any()
    assert abs(first.after - first.before).max() > 0.01
    again = Job(tmp_path / "again", model_folder, recipe | BFLOAT16, monkeypatch)
    (tmp_path / "job-weights").rename(tmp_path / "again-weights")  # the kept weights
    said = again.attempt()
    assert any("are used" in str(event.get("message")) for event in said)
    assert read_result(again.folder).after.tolist() == first.after.tolist()
