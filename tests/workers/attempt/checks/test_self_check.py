"""The way in which a model is read is found by asking it; one that misleads is read slowly, or refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import LlamaForCausalLM

from forgetcast.errors import UnsupportedModel
from tests.workers.attempt.test_zoo import ragged, reference
from tests.workers.language_models import tiny_llama
from workers.attempt.checks.self_check import Way, check_trains, way_to_read
from workers.attempt.measuring.log_perplexity import log_perplexity
from workers.attempt.model.language_model import FASTEST
from workers.attempt.model.text_part import decoder_of


@pytest.fixture
def llama() -> LlamaForCausalLM:
    return tiny_llama()


def misled(model: LlamaForCausalLM, before: Any) -> None:
    """The decoder sees `before` of its arguments, in whatever way it is called."""
    decoder = decoder_of(model)
    read = decoder.forward
    decoder.forward = lambda **given: read(**before(given))


def values_are_right(model: LlamaForCausalLM, way: Way) -> bool:
    examples = ragged(5)
    return bool(
        log_perplexity(way.model(model, torch.float32), examples) == pytest.approx(reference(model, examples), abs=1e-4)
    )


def test_an_ordinary_model_is_read_in_the_fastest_way(llama: LlamaForCausalLM) -> None:
    llama.train()
    assert way_to_read(llama) == Way(FASTEST, own_head=False)
    assert llama.training, "the check leaves the model as it was"


def test_a_model_that_mistakes_a_cache_shares_no_prefix(llama: LlamaForCausalLM) -> None:
    def forgets_positions(given: dict[str, Any]) -> dict[str, Any]:
        ids = given["input_ids"]
        return {**given, "position_ids": torch.arange(ids.shape[1])[None].expand(ids.shape)}

    misled(llama, forgets_positions)
    way = way_to_read(llama)
    assert not way.reading.shares_prefix and way.reading.pads
    assert values_are_right(llama, way)


def test_a_model_that_mistakes_padding_reads_equal_lengths_together(llama: LlamaForCausalLM) -> None:
    def counts_from_the_end(given: dict[str, Any]) -> dict[str, Any]:
        ids = given["input_ids"]
        scale = 1 + 0.5 * (given["attention_mask"][:, -1:] == 0).any()
        return {**given, "position_ids": (torch.arange(ids.shape[1])[None] * scale).expand(ids.shape)}

    misled(llama, counts_from_the_end)
    way = way_to_read(llama)
    assert not way.reading.pads and not way.reading.alone
    assert values_are_right(llama, way)


def test_a_model_whose_decoder_cannot_be_called_is_read_by_its_own_forward(llama: LlamaForCausalLM) -> None:
    def only_from_inside(given: dict[str, Any]) -> dict[str, Any]:
        if "position_ids" not in given:  # which LlamaForCausalLM hands down
            raise RuntimeError("not by itself")
        return given

    misled(llama, only_from_inside)
    way = way_to_read(llama)
    assert way.reading.alone
    assert values_are_right(llama, way)


@pytest.mark.parametrize("cap", [1.0, 30.0])
def test_logits_that_are_capped_are_measured_as_they_are(llama: LlamaForCausalLM, cap: float) -> None:
    class Capped(LlamaForCausalLM):
        def forward(self, *given: Any, **named: Any) -> Any:
            output = super().forward(*given, **named)
            output.logits = torch.tanh(output.logits / cap) * cap
            return output

    llama.__class__ = Capped
    way = way_to_read(llama)
    assert way == Way(FASTEST, own_head=True)
    assert values_are_right(llama, way)


def test_a_model_that_looks_ahead_is_refused(llama: LlamaForCausalLM) -> None:
    class Ahead(LlamaForCausalLM):
        def forward(self, *given: Any, **named: Any) -> Any:
            output = super().forward(*given, **named)
            output.logits = output.logits + output.logits.mean(1, keepdim=True)
            return output

    llama.__class__ = Ahead
    with pytest.raises(UnsupportedModel, match="Ahead is not causal"):
        way_to_read(llama)


def test_a_model_that_answers_at_random_is_refused(llama: LlamaForCausalLM) -> None:
    class Random(LlamaForCausalLM):
        def forward(self, *given: Any, **named: Any) -> Any:
            output = super().forward(*given, **named)
            output.logits = output.logits + torch.rand_like(output.logits)
            return output

    llama.__class__ = Random
    with pytest.raises(UnsupportedModel, match="Random answers differently"):
        way_to_read(llama)


def test_weights_that_are_not_numbers_are_refused(llama: LlamaForCausalLM) -> None:
    with torch.no_grad():
        next(llama.parameters())[:] = float("nan")
    with pytest.raises(UnsupportedModel, match="not finite"):
        way_to_read(llama)


def test_a_model_that_takes_no_batch_for_training_is_refused(llama: LlamaForCausalLM) -> None:
    class Untrainable(LlamaForCausalLM):
        def forward(self, *given: Any, labels: Tensor | None = None, **named: Any) -> Any:
            if labels is not None:
                raise ValueError("token_type_ids are required")
            return super().forward(*given, **named)

    check_trains(llama)
    llama.__class__ = Untrainable
    with pytest.raises(UnsupportedModel, match="Untrainable cannot be fine-tuned here: token_type_ids"):
        check_trains(llama)
