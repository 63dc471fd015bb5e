"""Logits of weights in bfloat16, against float32 logits of the same weights."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tests.workers.language_models import tiny_llama
from workers.attempt.measuring.log_perplexity import score
from workers.attempt.model.float32_product import float32_product
from workers.attempt.model.transformers_model import TransformersModel
from workers.attempt.texts.tokens import Tokens

LOW = torch.bfloat16


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("held_in", [torch.float32, LOW])
def test_equals_the_float32_product_of_the_same_numbers(bias, held_in):
    torch.manual_seed(0)
    head = nn.Linear(64, 40_000, bias=bias, dtype=held_in)
    states = (20 * torch.randn(7, 64)).to(held_in)
    found = float32_product(states, head, LOW)
    wanted = states.to(LOW).double() @ head.weight.to(LOW).double().T + (head.bias.double() if bias else 0)
    assert found.dtype == torch.float32
    assert torch.allclose(found.double(), wanted, atol=1e-4, rtol=0)
    rounded = head.to(LOW)(states.to(LOW))
    assert not torch.allclose(rounded.double(), wanted, atol=1e-2, rtol=0)


@pytest.mark.parametrize("weights", [torch.float32, LOW])
def test_values_in_bfloat16_are_those_of_logits_that_were_never_rounded(weights):
    llama = tiny_llama().to(weights)
    tokens = Tokens(tuple(range(3, 40)), (False,) + (True,) * 36)
    model = TransformersModel(llama, dtype=LOW)
    with torch.inference_mode():
        states = model.hidden(torch.tensor([tokens.ids]), torch.ones(1, 37, dtype=torch.bool))[0, :-1]
    exact = states.to(LOW).double() @ llama.lm_head.weight.to(LOW).double().T
    nats = nn.functional.cross_entropy(exact, torch.tensor(tokens.ids[1:]))
    assert score(model, [tokens]).log_perplexity[0] == pytest.approx(nats.item(), abs=2e-6)
