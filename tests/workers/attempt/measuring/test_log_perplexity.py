"""Measured values against a reference that reads one token at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import LlamaForCausalLM

from tests.workers.language_models import CHARACTERS, UniformModel, tiny_llama
from workers.attempt.measuring.log_perplexity import batches, log_perplexity, score, shared_prefix
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.tokens import Tokens


def reference(model: LlamaForCausalLM, tokens: Tokens) -> float:
    """Each scored token's log-probability from a forward pass over the tokens before it, and nothing else."""
    nats = []
    with torch.inference_mode():
        for place, scored in enumerate(tokens.scored):
            if scored:
                logits = model(input_ids=torch.tensor([tokens.ids[:place]])).logits[0, -1].double()
                nats.append(-logits.log_softmax(-1)[tokens.ids[place]].item())
    return float(np.mean(nats))


def random_tokens(seed: int, length: int, n_prompt: int) -> Tokens:
    ids = np.random.default_rng(seed).integers(1, len(CHARACTERS), length)
    return Tokens(tuple(ids.tolist()), tuple(place >= n_prompt for place in range(length)))


def greedy(model: LlamaForCausalLM, prompt: tuple[int, ...], n_tokens: int) -> tuple[int, ...]:
    """What the model itself generates."""
    ids = torch.tensor([prompt])
    itself: Any = model  # the stub of generate names self twice
    with torch.inference_mode():
        out = itself.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n_tokens, do_sample=False)
    return tuple(out[0, len(prompt) :].tolist())


@pytest.fixture(scope="module")
def llama() -> LlamaForCausalLM:
    return tiny_llama()


@pytest.fixture(scope="module")
def examples() -> list[Tokens]:
    """Of different lengths, so that batches are padded, with prompts that are not scored."""
    return [
        random_tokens(seed, length, n_prompt)
        for seed, (length, n_prompt) in enumerate([(5, 1), (40, 30), (12, 4), (23, 1), (9, 8)])
    ]


def test_equals_the_token_by_token_reference(llama: LlamaForCausalLM, examples: list[Tokens]) -> None:
    measured = log_perplexity(TransformersModel(llama, dtype=torch.float32), examples, tokens_per_batch=128)
    assert measured == pytest.approx([reference(llama, tokens) for tokens in examples], abs=1e-5)


@pytest.mark.parametrize("tokens_per_batch", [1, 50, 10_000])
def test_batching_and_padding_change_nothing(
    llama: LlamaForCausalLM, examples: list[Tokens], tokens_per_batch: int
) -> None:
    model = TransformersModel(llama, dtype=torch.float32)
    alone = [log_perplexity(model, [tokens])[0] for tokens in examples]
    together = log_perplexity(model, examples, tokens_per_batch=tokens_per_batch)
    assert together == pytest.approx(alone, abs=1e-5)


def test_a_prompt_token_is_read_but_not_scored(llama: LlamaForCausalLM) -> None:
    tokens = random_tokens(3, 20, 10)
    scored_all = Tokens(tokens.ids, (False,) + (True,) * 19)
    other_prompt = Tokens((5, *tokens.ids[1:]), tokens.scored)
    model = TransformersModel(llama, dtype=torch.float32)
    response, everything, other = log_perplexity(model, [tokens, scored_all, other_prompt])
    assert response != pytest.approx(everything, abs=1e-3)
    assert response != pytest.approx(other, abs=1e-6)


def test_a_shared_prompt_is_read_once_and_changes_nothing(llama: LlamaForCausalLM) -> None:
    prompt = (7, 8, 9, 10, 11, 12)
    examples = [
        Tokens(prompt + random_tokens(seed, length, 0).ids, (False,) * 6 + (True,) * length)
        for seed, length in enumerate([4, 17, 9])
    ]
    # The last prompt token stays with its sequence: it predicts the first scored one.
    assert shared_prefix(examples) == prompt[:5]
    measured = log_perplexity(TransformersModel(llama, dtype=torch.float32), examples)
    assert measured == pytest.approx([reference(llama, tokens) for tokens in examples], abs=1e-5)


def test_a_uniform_model_is_as_perplexed_as_its_vocabulary_is_large(examples: list[Tokens]) -> None:
    assert log_perplexity(UniformModel(97), examples) == pytest.approx([math.log(97)] * len(examples))


def test_an_example_is_exact_when_greedy_decoding_writes_it(llama: LlamaForCausalLM) -> None:
    prompts = [random_tokens(seed, length, length) for seed, length in enumerate([3, 12, 7, 20])]
    written = [greedy(llama, prompt.ids, 9) for prompt in prompts]
    wrong = [
        (*ids[:place], ids[place] % 90 + 1, *ids[place + 1 :]) for ids, place in zip(written, (0, 4, 8, 5), strict=True)
    ]
    examples = [
        Tokens(prompt.ids + ids, (False,) * len(prompt) + (True,) * len(ids))
        for prompt, ids in zip(prompts * 2, written + wrong, strict=True)
    ]
    exact = score(TransformersModel(llama, dtype=torch.float32), examples, tokens_per_batch=64).exact
    assert exact.tolist() == [True] * 4 + [False] * 4


def test_of_equal_logits_the_first_token_is_the_choice() -> None:
    first, later = Tokens((5, 0, 0), (False, True, True)), Tokens((5, 0, 1), (False, True, True))
    assert score(UniformModel(97), [first, later]).exact.tolist() == [True, False]


def test_measuring_leaves_the_model_in_training_mode(llama: LlamaForCausalLM, examples: list[Tokens]) -> None:
    llama.train()
    try:
        log_perplexity(TransformersModel(llama, dtype=torch.float32), examples[:1])
        assert llama.training
    finally:
        llama.eval()


@given(st.lists(st.integers(1, 60), max_size=30), st.integers(1, 200))
def test_batches_hold_every_example_once_within_the_budget(lengths: list[int], budget: int) -> None:
    found = list(batches(lengths, budget))
    assert sorted(position for batch in found for position in batch) == list(range(len(lengths)))
    assert all(len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget for batch in found)
