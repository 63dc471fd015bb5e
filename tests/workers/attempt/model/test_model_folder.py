"""Folders that are not one whole model of the next token, each refused by name before anything is measured."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForSequenceClassification, T5Config, T5ForConditionalGeneration

from forgetcast.errors import ModelNotFound, ModelUnreadable, UnsupportedModel
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.model.model_folder import INDEX, load_model

pytestmark = pytest.mark.filterwarnings("ignore")  # transformers warns of what is refused here

CPU = torch.device("cpu")
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole")
    tiny_llama().save_pretrained(folder)
    character_tokenizer().save_pretrained(folder)
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    return shutil.copytree(whole, tmp_path / "llama")


def change_config(folder: Path, **changes: Any) -> None:
    file = folder / "config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, metadata={"format": "pt"})


def test_a_whole_folder_is_loaded(folder: Path) -> None:
    model, tokenizer = load_model(folder, CPU)
    assert type(model).__name__ == "LlamaForCausalLM" and tokenizer.chat_template


def test_a_weight_that_is_not_there_is_named(folder: Path) -> None:
    change_weights(folder, lambda weights: weights.pop("model.layers.1.mlp.up_proj.weight"))
    with pytest.raises(ModelUnreadable, match=r"1 weight of LlamaForCausalLM .*layers\.1\.mlp\.up_proj\.weight"):
        load_model(folder, CPU)


@pytest.mark.parametrize(
    "left_over",
    [
        "model.layers.2.mlp.up_proj.weight",
        "model.layers.0.self_attn.q_proj.bias",
        "model.norm.bias",
        "model.layers.0.self_attn.q_norm.weight",
    ],
)
def test_a_weight_that_the_config_leaves_out_is_named(folder: Path, left_over: str) -> None:
    change_weights(folder, lambda weights: weights.update({left_over: torch.zeros(48, 32)}))
    with pytest.raises(ModelUnreadable, match=left_over):
        load_model(folder, CPU)


@pytest.mark.parametrize(
    "left_over",
    ["vision_tower.layers.0.weight", "model.layers.0.self_attn.rotary_emb.inv_freq", "model.layers.1.self_attn.bias"],
)
def test_what_changes_no_value_may_lie_beside(folder: Path, left_over: str) -> None:
    change_weights(folder, lambda weights: weights.update({left_over: torch.zeros(4)}))
    load_model(folder, CPU)


def test_weights_of_another_shape_are_named_with_both_shapes(folder: Path) -> None:
    change_config(folder, intermediate_size=64)
    with pytest.raises(ModelUnreadable, match=r"mlp.down_proj.weight, \(32, 48\) instead of \(32, 64\)"):
        load_model(folder, CPU)


def test_weights_of_another_architecture_are_missing_weights(folder: Path) -> None:
    change_config(folder, model_type="gpt_neox", architectures=["GPTNeoXForCausalLM"])
    with pytest.raises((ModelUnreadable, UnsupportedModel), match=r"GPTNeoX|llama"):
        load_model(folder, CPU)


def test_a_file_of_weights_that_is_absent_is_named(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    there = {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}
    (folder / INDEX).write_text(json.dumps({"weight_map": there}))
    with pytest.raises(ModelNotFound, match=r"1 of 2 files .*model-00002-of-00002"):
        load_model(folder, CPU)


@pytest.mark.parametrize("content", ["", "[]", '{"weight_map": 3}', '{"weight_map": {"a": []}}'])
def test_an_index_that_cannot_be_read_is_refused(folder: Path, content: str) -> None:
    (folder / WEIGHTS).rename(folder / "model-00001-of-00002.safetensors")
    (folder / INDEX).write_text(content)
    with pytest.raises(ModelUnreadable, match="index"):
        load_model(folder, CPU)


def test_a_head_for_another_task_is_refused_by_name(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=1, num_attention_heads=4,
        tie_word_embeddings=True,
    )  # fmt: skip
    LlamaForSequenceClassification(config).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match="LlamaForSequenceClassification has a head for another task"):
        load_model(tmp_path, CPU)


def test_an_encoder_decoder_is_refused_by_name(tmp_path: Path) -> None:
    config = T5Config(vocab_size=97, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2)
    T5ForConditionalGeneration(config).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModel, match=r"T5ForConditionalGeneration \(t5\) is an encoder-decoder"):
        load_model(tmp_path, CPU)


@pytest.mark.parametrize(
    "quantised",
    [
        {"quant_method": "gptq", "bits": 4, "group_size": 32},
        {"quant_method": "awq", "bits": 4, "group_size": 32},
        {"quant_method": "bitsandbytes", "load_in_4bit": True},
        {"quant_method": "of-a-later-time"},
    ],
)
def test_a_quantised_folder_whose_package_is_absent_is_refused_by_name(folder: Path, quantised: dict[str, Any]) -> None:
    change_config(folder, quantization_config=quantised)
    with pytest.raises(UnsupportedModel, match=r"(?i)llama"):
        load_model(folder, CPU)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": "of-a-later-time"},
        {"model_type": "clip"},
        {"model_type": "whisper", "architectures": ["WhisperForConditionalGeneration"], "is_encoder_decoder": True},
        {"num_attention_heads": 5},
        {"hidden_act": "no-such-act"},
        {"rope_parameters": {"rope_type": "no-such-rope"}},
        {"num_hidden_layers": -1},
    ],
)
def test_a_config_that_makes_no_such_model_is_refused(folder: Path, changes: dict[str, Any]) -> None:
    change_config(folder, **changes)
    with pytest.raises((UnsupportedModel, ModelUnreadable)):
        load_model(folder, CPU)


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"model_type": 3}'])
def test_a_config_that_cannot_be_read_is_refused(folder: Path, content: str) -> None:
    (folder / "config.json").write_text(content)
    with pytest.raises(UnsupportedModel):
        load_model(folder, CPU)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json"])
def test_a_folder_without_one_of_its_files_is_refused(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(UnsupportedModel):
        load_model(folder, CPU)
