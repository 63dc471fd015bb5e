"""Rotary frequencies that depend on the longest text of a batch change no value and no fine-tuned weight."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from tests.workers.attempt.test_zoo import RECIPE, ragged, reference
from tests.workers.zoo import FAMILIES
from workers.attempt.measuring.log_perplexity import log_perplexity
from workers.attempt.model.rotary import any_beyond, rotary_limit
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.training.fine_tune import fine_tune

pytestmark = pytest.mark.filterwarnings("ignore")

LIMIT = 32  # tokens, of both families
LENGTHS = (3, 60, 17, 90, 60, 31)


def model_of(name: str) -> PreTrainedModel:
    return next(family for family in FAMILIES if family.name == name).model()


@pytest.fixture(params=["phi3-longrope", "llama-dynamic"])
def model(request: Any) -> PreTrainedModel:
    return model_of(request.param)


def values(model: PreTrainedModel, examples: Any) -> Any:
    return log_perplexity(TransformersModel(model, dtype=torch.float32), examples)


def test_the_limit_is_the_original_length_and_others_have_none(model: PreTrainedModel) -> None:
    assert rotary_limit(model) == LIMIT
    assert not any_beyond(model, [LIMIT]) and any_beyond(model, [3, LIMIT + 1])
    assert rotary_limit(model_of("llama")) is None


@pytest.mark.parametrize("n_shared", [0, 5])
def test_a_value_depends_on_no_other_example_and_on_nothing_read_before(model: PreTrainedModel, n_shared: int) -> None:
    examples = ragged(n_shared, LENGTHS)
    together = values(model, examples)
    assert together == pytest.approx(reference(model, examples), abs=1e-5)
    for tokens, value in zip(examples, together, strict=True):  # after a longer one, and after a shorter one
        assert values(model, [tokens])[0] == pytest.approx(value, abs=1e-5)


def test_parts_of_a_batch_come_to_the_same_weights(tmp_path: Path, model: PreTrainedModel) -> None:
    examples, measured = ragged(5, LENGTHS), []
    start = {name: weight.clone() for name, weight in model.state_dict().items()}
    for split in (1, 2, 4):
        model.load_state_dict(start)
        fine_tune(model, examples, {**RECIPE, "method": "full"}, seed=0, scratch=tmp_path / str(split), split=split)
        measured.append(values(model, examples))
    assert measured[1] == pytest.approx(measured[0], abs=1e-5)
    assert measured[2] == pytest.approx(measured[0], abs=1e-5)
