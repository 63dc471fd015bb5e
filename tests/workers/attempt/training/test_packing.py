"""Examples that share a row are read and learned from as if each were alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from forgetcast.errors import NotForModel
from forgetcast.recipe_defaults import n_steps
from tests.workers.attempt.test_zoo import MEASURED
from tests.workers.attempt.trained_together import examples
from tests.workers.attempt.training.test_fine_tune import FULL, LORA
from tests.workers.language_models import tiny_llama
from tests.workers.zoo import Family
from workers.attempt.checks.memory import estimate
from workers.attempt.texts.tokens import Tokens
from workers.attempt.training.fine_tune import fine_tune, rows_of
from workers.attempt.training.packing import IGNORED, Row, check_packing, collate_rows, pack

MOST = 64
PACKED = {"llama", "qwen2", "qwen3", "mistral", "gemma2", "gemma3_text", "phi3", "olmo2", "granite", "mixtral", "gpt2"}


def test_rows_hold_every_example_once_and_no_more_than_they_may() -> None:
    rows = pack(examples(), MOST)
    assert sorted(tokens.ids for row in rows for tokens in row) == sorted(tokens.ids for tokens in examples())
    assert max(row.width for row in rows) <= MOST and len(rows) < len(examples()) / 2
    assert rows == pack(examples(), MOST)


def test_positions_begin_anew_and_no_label_crosses() -> None:
    row = Row((Tokens((5, 6, 7), (False, True, True)), Tokens((8, 9), (True, True))))
    batch = collate_rows([row, Row((Tokens((3, 4), (False, True)),))])
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1], [0, 1, 0, 0, 0]]  # type: ignore[union-attr]
    assert batch["labels"].tolist() == [[IGNORED, 6, 7, IGNORED, 9], [IGNORED, 4, *[IGNORED] * 3]]  # type: ignore[union-attr]
    assert "attention_mask" not in batch and batch["use_cache"] is False


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_no_example_sees_another(attention: str) -> None:
    model: Any = tiny_llama()
    model.set_attn_implementation(attention)
    first, second, other = examples()[:3]

    def logits_of_the_second(before: Tokens) -> torch.Tensor:
        batch = collate_rows([Row((before, second, before))])
        del batch["labels"]
        with torch.inference_mode():
            found: torch.Tensor = model(**batch).logits[0, len(before) : len(before) + len(second)]
        return found

    with torch.inference_mode():
        alone = model(input_ids=torch.tensor([second.ids])).logits[0]
    torch.testing.assert_close(logits_of_the_second(first), alone, atol=1e-4, rtol=0)
    torch.testing.assert_close(logits_of_the_second(other), alone, atol=1e-4, rtol=0)


@pytest.mark.parametrize("recipe", [FULL, LORA], ids=["full", "lora"])
@pytest.mark.parametrize("checkpointing", [False, True], ids=["", "checkpointing"])
def test_a_packed_update_is_the_update_of_its_examples(
    recipe: dict[str, Any], checkpointing: bool, tmp_path: Path
) -> None:
    recipe = recipe | {"steps": 1, "max_tokens": MOST, "activation_checkpointing": checkpointing}
    n_rows = len(pack(examples(), MOST))
    packed = fine_tune(
        tiny_llama(), examples(), recipe | {"packing": True, "batch_size": n_rows}, seed=1, scratch=tmp_path
    )
    apart = fine_tune(tiny_llama(), examples(), recipe | {"batch_size": len(examples())}, seed=1, scratch=tmp_path)
    assert packed.losses == pytest.approx(apart.losses, rel=1e-5)
    theirs = dict(apart.trained.named_parameters())
    for name, ours in packed.trained.named_parameters():
        difference = (ours - theirs[name]).detach().norm() / theirs[name].detach().norm().clamp_min(1e-30)
        assert float(difference) < 1e-4, name


def test_a_model_whose_layers_carry_a_state_along_is_refused() -> None:
    from transformers import MambaConfig, MambaForCausalLM

    check_packing(tiny_llama(), 32)
    torch.manual_seed(0)
    with pytest.raises(NotForModel, match="packing: MambaForCausalLM"):
        check_packing(
            MambaForCausalLM(MambaConfig(vocab_size=97, hidden_size=32, num_hidden_layers=2, state_size=4)), 32
        )


def test_an_epoch_of_packed_rows_is_shorter() -> None:
    recipe = FULL | {"steps": None, "num_train_epochs": 2, "batch_size": 2, "max_tokens": MOST}
    n_rows = len(rows_of(examples(), recipe | {"packing": True}))
    assert n_steps(recipe, len(examples())) == 12  # 2 x 6 updates of 11 examples
    assert n_steps(recipe, n_rows) == 2 * -(-n_rows // 2)


@pytest.mark.filterwarnings("ignore")  # a hundred families of somebody else's code
@pytest.mark.parametrize("family", MEASURED)
def test_every_family_is_packed_or_refused_by_name_and_its_memory_is_estimated(family: Family) -> None:
    model = family.model()
    assert estimate(model, FULL, longest=MOST).peak > 0
    try:
        check_packing(model, 32)
    except NotForModel as error:
        assert "the recipe's packing" in str(error)
        assert family.name not in PACKED
