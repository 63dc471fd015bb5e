"""Weights that were fine-tuned elsewhere, measured beside their base model."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model

from forgetcast.errors import ModelMismatch, ModelNotFound, ModelUnreadable, NothingToScore, UnsupportedModel
from forgetcast.schemas import Setting
from tests.workers.language_models import CHAT_TEMPLATE, character_tokenizer, tiny_llama
from workers.attempt.checks.self_check import way_to_read
from workers.attempt.measuring.log_perplexity import log_perplexity
from workers.attempt.score import score, weights_digest
from workers.attempt.texts.tokens import encode

EXAMPLES: list[dict[str, Any]] = [
    {"id": "a", "text": "The rain falls."},
    {"id": "b", "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello there."}]},
    {"id": "c", "text": "1 + 1 = 2"},
]
SETTING = Setting().model_dump(mode="json") | {"scored": "all", "dtype": "float32"}


def saved(folder: Path, seed: int = 0) -> Path:
    tiny_llama(seed).save_pretrained(folder)
    character_tokenizer(CHAT_TEMPLATE).save_pretrained(folder)
    return folder


def adapter(folder: Path, *, trained: bool = True, rank: int = 4) -> Path:
    config = LoraConfig(r=rank, target_modules=["q_proj", "v_proj"], init_lora_weights=True)
    adapted = get_peft_model(tiny_llama(), config)
    if trained:
        with torch.no_grad():
            for name, parameter in adapted.named_parameters():
                if "lora_B" in name:
                    parameter.normal_(std=0.3, generator=torch.Generator().manual_seed(1))
    adapted.save_pretrained(str(folder))
    return folder


@pytest.fixture
def base(tmp_path: Path) -> Path:
    return saved(tmp_path / "base")


def test_before_is_the_base_models_value_and_after_the_candidates(base: Path, tmp_path: Path) -> None:
    found = score(base, saved(tmp_path / "tuned", seed=5), EXAMPLES, SETTING)
    assert found.ids == ("a", "b", "c")
    tokens = [encode(character_tokenizer(), one, scored="all", max_tokens=SETTING["max_tokens"]) for one in EXAMPLES]
    for seed, values in ((0, found.before), (5, found.after)):
        model = tiny_llama(seed)
        expected = log_perplexity(way_to_read(model).model(model, torch.float32), tokens)
        assert values == pytest.approx(expected, abs=1e-4)


def test_an_adapter_is_measured_upon_the_base_model(base: Path, tmp_path: Path) -> None:
    found = score(base, adapter(tmp_path / "adapter"), EXAMPLES, SETTING)
    assert found.before == pytest.approx(score(base, saved(tmp_path / "tuned", 5), EXAMPLES, SETTING).before)
    assert np.abs(found.after - found.before).min() > 1e-3


@pytest.mark.parametrize("kind", ["whole", "adapter"])
def test_weights_that_change_nothing_are_refused(base: Path, tmp_path: Path, kind: str) -> None:
    same = saved(tmp_path / "same") if kind == "whole" else adapter(tmp_path / "same", trained=False)
    with pytest.raises(ModelMismatch, match="every example the value that the base model gives"):
        score(base, same, EXAMPLES, SETTING)


def test_the_digest_is_the_sha256_of_the_one_file(base: Path) -> None:
    assert weights_digest(base) == hashlib.sha256((base / "model.safetensors").read_bytes()).hexdigest()


def test_the_digest_of_an_adapter_holds_its_scale_too(tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    first = weights_digest(folder)
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "lora_alpha": 99}))
    assert weights_digest(folder) != first


def test_an_adapter_of_another_model_does_not_fit(base: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "target_modules": ["q_proj", "k_proj"]}))
    with pytest.raises(ModelMismatch, match="does not fit"):
        score(base, folder, EXAMPLES, SETTING)


def test_an_adapter_of_another_rank_does_not_fit(base: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    config = json.loads((folder / "adapter_config.json").read_text())
    (folder / "adapter_config.json").write_text(json.dumps({**config, "r": 8}))
    with pytest.raises(ModelMismatch, match="does not fit"):
        score(base, folder, EXAMPLES, SETTING)


def test_other_kinds_of_adapters_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    folder = adapter(tmp_path / "adapter")
    (folder / "adapter_config.json").write_text('{"peft_type": "IA3"}')
    with pytest.raises(UnsupportedModel, match="IA3"):
        score(base, folder, EXAMPLES, SETTING)


def test_another_tokenizer_is_refused(base: Path, tmp_path: Path) -> None:
    tuned = saved(tmp_path / "tuned", seed=5)
    file = json.loads((tuned / "tokenizer.json").read_text())
    words = file["model"]["vocab"]
    words["A"], words["B"] = words["B"], words["A"]
    (tuned / "tokenizer.json").write_text(json.dumps(file))
    with pytest.raises(ModelMismatch, match="tokenizer"):
        score(base, tuned, EXAMPLES, SETTING)


def test_a_folder_without_weights_or_with_half_of_them(base: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for folder in (tmp_path / "empty", tmp_path / "nowhere"):
        with pytest.raises(ModelNotFound):
            score(base, folder, EXAMPLES, SETTING)
    tuned = saved(tmp_path / "tuned", seed=5)
    weights = tuned / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelUnreadable):
        score(base, tuned, EXAMPLES, SETTING)


def test_an_example_with_nothing_to_score_stops_no_other(base: Path, tmp_path: Path) -> None:
    tuned = saved(tmp_path / "tuned", seed=5)
    found = score(base, tuned, [*EXAMPLES, {"id": "empty", "text": ""}], SETTING)
    assert found.ids == ("a", "b", "c")
    assert "'empty'" in found.left_out
    with pytest.raises(NothingToScore):
        score(base, tuned, [{"id": "empty", "text": ""}], SETTING)


def test_progress_counts_the_examples_of_both_phases(base: Path, tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    score(base, saved(tmp_path / "t", 5), EXAMPLES, SETTING, lambda *one: told.append(one))
    assert [one for one in told if one[1] == one[2]] == [("before", 3, 3), ("after", 3, 3)]


def test_weights_are_held_as_the_matrixs_recipe_says(base: Path, tmp_path: Path) -> None:
    tuned, setting = saved(tmp_path / "tuned", 5), SETTING | {"dtype": "bfloat16"}
    low = {"dtype": "bfloat16", "weights_dtype": "bfloat16"}
    rounded, held = (score(base, tuned, EXAMPLES, setting, recipe=recipe) for recipe in ({}, low))
    assert held.before == pytest.approx(rounded.before, abs=0.2)
    assert (held.before != rounded.before).any() and (held.after != rounded.after).any()
