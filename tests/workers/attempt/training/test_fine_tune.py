"""Fine-tuning a tiny model: what the seed decides, what LoRA leaves alone, and what is measured afterwards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from forgetcast.errors import LossNotFinite
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.measuring.log_perplexity import log_perplexity
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.tokens import Tokens, encode
from workers.attempt.training.fine_tune import FineTuned, collate, fine_tune, part_size
from workers.attempt.training.packing import IGNORED

FULL: dict[str, Any] = {
    "method": "full",
    "learning_rate": 1e-3,
    "steps": 4,
    "batch_size": 2,
    "max_tokens": 32,
    "warmup_steps": 0,
    "schedule": "linear",
    "weight_decay": 0.0,
    "dtype": "float32",
    "lora": None,
}
LORA = FULL | {
    "method": "lora",
    "learning_rate": 1e-2,
    "lora": {"rank": 4, "alpha": 8.0, "dropout": 0.0, "target_modules": "all-linear"},
}


@pytest.fixture
def task() -> list[Tokens]:
    tokenizer = character_tokenizer()
    lines = [{"prompt": f"{n} times two is ", "completion": f"{2 * n}."} for n in range(10, 20)]
    return [encode(tokenizer, line, scored="response", max_tokens=32) for line in lines]


def tuned(
    task: list[Tokens], recipe: dict[str, Any], seed: int, folder: Path, split: int = 1
) -> tuple[FineTuned, TransformersModel]:
    model = tiny_llama()
    measured = TransformersModel(model, dtype=torch.float32)
    return fine_tune(model, task, recipe, seed=seed, scratch=folder, split=split), measured


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_training_lowers_the_log_perplexity_of_its_own_task(
    task: list[Tokens], recipe: dict[str, Any], tmp_path: Path
) -> None:
    before = log_perplexity(TransformersModel(tiny_llama(), dtype=torch.float32), task)
    _, measured = tuned(task, recipe | {"steps": 20}, 1, tmp_path)
    assert log_perplexity(measured, task).mean() < before.mean() - 0.1


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_the_model_that_is_measured_is_the_one_that_was_trained(
    task: list[Tokens], recipe: dict[str, Any], tmp_path: Path
) -> None:
    """A model measured through an old handle, or without its adapter, would score as before."""
    result, measured = tuned(task, recipe, 1, tmp_path)
    result.trained.eval()
    batch = collate(task)
    with torch.inference_mode():
        logits = result.trained(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits
    nats = torch.nn.functional.cross_entropy(
        logits[:, :-1].flatten(0, 1), batch["labels"][:, 1:].flatten(), ignore_index=IGNORED, reduction="none"
    ).view(len(task), -1)
    by_hand = nats.sum(1) / (batch["labels"][:, 1:] != IGNORED).sum(1)
    assert log_perplexity(measured, task) == pytest.approx(by_hand.numpy(), abs=1e-5)


def test_lora_leaves_the_base_weights_alone(task: list[Tokens], tmp_path: Path) -> None:
    result, measured = tuned(task, LORA, 1, tmp_path)
    base = log_perplexity(TransformersModel(tiny_llama(), dtype=torch.float32), task)
    assert log_perplexity(measured, task) != pytest.approx(base, abs=1e-3)
    with result.trained.disable_adapter():  # type: ignore[operator]  # a PeftModel under this recipe
        assert log_perplexity(measured, task) == pytest.approx(base, abs=1e-5)


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_the_seed_decides_the_result(task: list[Tokens], recipe: dict[str, Any], tmp_path: Path) -> None:
    first, again, other = (log_perplexity(tuned(task, recipe, seed, tmp_path)[1], task) for seed in (1, 1, 2))
    assert first == pytest.approx(again, abs=1e-6)
    assert first != pytest.approx(other, abs=1e-6)


def test_a_loss_that_is_not_finite_ends_the_run(task: list[Tokens], tmp_path: Path) -> None:
    model = tiny_llama()
    with torch.no_grad():
        model.model.norm.weight.fill_(float("inf"))
    with pytest.raises(LossNotFinite, match="step 1"):
        fine_tune(model, task, FULL, seed=1, scratch=tmp_path)


def test_labels_stand_at_scored_tokens_only() -> None:
    batch = collate([Tokens((5, 6, 7), (False, False, True)), Tokens((8, 9), (False, True))])
    assert batch["labels"].tolist() == [[IGNORED, IGNORED, 7], [IGNORED, 9, IGNORED]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    ("batch_size", "split", "size"), [(8, 1, 8), (8, 2, 4), (6, 4, 1), (7, 2, 1), (9, 2, 3), (1, 2, 1)]
)
def test_a_batch_is_split_into_equal_parts(batch_size: int, split: int, size: int) -> None:
    assert part_size(batch_size, split) == size


def test_a_split_batch_trains_the_same_model(task: list[Tokens], tmp_path: Path) -> None:
    whole, halved = (
        log_perplexity(measured, task)
        for measured in (tuned(task, FULL | {"batch_size": 4}, 1, tmp_path, split)[1] for split in (1, 2))
    )
    assert halved == pytest.approx(whole, abs=1e-5)


@pytest.mark.parametrize(
    "less_memory",
    [{"per_device_train_batch_size": 1}, {"activation_checkpointing": True}],
    ids=lambda given: next(iter(given)),
)
@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
def test_what_saves_memory_trains_the_same_model(
    task: list[Tokens], recipe: dict[str, Any], less_memory: dict[str, Any], tmp_path: Path
) -> None:
    usual, lean = (
        log_perplexity(tuned(task, recipe | more, 1, tmp_path)[1], task) for more in (dict[str, Any](), less_memory)
    )
    assert lean == pytest.approx(usual, abs=3e-5)


@pytest.mark.parametrize(
    "changed",
    [
        {"max_grad_norm": 1e-3, "learning_rate": 1e-2},
        {"adam_beta1": 0.5},
        {"adam_beta2": 0.5},
        {"adam_epsilon": 1e-2},
        {"optim": "adafactor"},
        {"warmup_steps": 0.5},
    ],
    ids=lambda given: next(iter(given)),
)
def test_every_field_of_a_recipe_counts(task: list[Tokens], changed: dict[str, Any], tmp_path: Path) -> None:
    usual = FULL | ({"learning_rate": changed["learning_rate"]} if "learning_rate" in changed else {})
    one, other = (log_perplexity(tuned(task, recipe, 1, tmp_path)[1], task) for recipe in (usual, usual | changed))
    assert abs(one - other).max() > 1e-4


@pytest.mark.parametrize("changed", [{"modules_to_save": ["lm_head"]}, {"target_modules": ["lm_head"]}])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_who_measured_before_reads_a_head_that_was_trained(
    task: list[Tokens], changed: dict[str, Any], dtype: torch.dtype, tmp_path: Path
) -> None:
    model = tiny_llama()
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.detach().clone())  # apart from the embedding
    model.config.tie_word_embeddings = False
    measured = TransformersModel(model, dtype=dtype)
    before = log_perplexity(measured, task)
    recipe = LORA | {"lora": LORA["lora"] | {"target_modules": ["q_proj"]} | changed}
    fine_tune(model, task, recipe, seed=1, scratch=tmp_path)
    after = log_perplexity(measured, task)
    assert after == pytest.approx(log_perplexity(TransformersModel(model, dtype=dtype), task), abs=1e-6)
    assert after.mean() < before.mean() - 0.1


@pytest.mark.parametrize("changed", [{"use_dora": True}, {"use_rslora": True}, {"modules_to_save": ["lm_head"]}])
def test_every_field_of_an_adapter_counts(task: list[Tokens], changed: dict[str, Any], tmp_path: Path) -> None:
    recipe = LORA | {"lora": LORA["lora"] | {"target_modules": ["q_proj", "v_proj"]}}
    one, other = (
        log_perplexity(tuned(task, recipe | {"lora": recipe["lora"] | more}, 1, tmp_path)[1], task)
        for more in (dict[str, Any](), changed)
    )
    assert abs(one - other).max() > 1e-4
