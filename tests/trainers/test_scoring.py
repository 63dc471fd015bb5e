"""Measured in a user's trainer as a worker measures: the same tokens, the same numbers, and the run untouched."""

from __future__ import annotations

import json
import random
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from forgetcast.errors import UnsupportedModel
from forgetcast.schemas import Setting, UpstreamExample
from forgetcast.trainers.scoring import log_perplexity, tokenise
from forgetcast.trainers.untouched import untouched
from tests.workers.language_models import character_tokenizer, tiny_llama
from workers.attempt.texts.tokens import encode

LINES = (Path(__file__).parents[2] / "bundled" / "upstream.jsonl").read_text(encoding="utf-8").splitlines()
EXAMPLES = [UpstreamExample.model_validate_json(line) for line in LINES[::25]]
EXAMPLES += [
    UpstreamExample(id="text", text="Only a text."),
    UpstreamExample.model_validate({"id": "two", "messages": json.loads(LINES[0])["messages"] * 2}),
]


@pytest.mark.parametrize("setting", [Setting(max_tokens=128), Setting(scored="all", max_tokens=60)])
def test_the_tokens_are_those_that_a_worker_scores(setting):
    tokenizer = character_tokenizer()
    made = {one.id: (one.tokens, one.scored) for one in tokenise(tokenizer, EXAMPLES, setting)}
    expected = {}
    for example in EXAMPLES:
        content = example.model_dump(mode="json", include={"text", "messages"}, exclude_none=True)
        tokens = encode(tokenizer, content, scored=setting.scored, max_tokens=setting.max_tokens)
        if tokens.n_scored:
            expected[example.id] = (tokens.ids, tokens.scored)
    assert made == expected and len(made) > 10


def test_the_values_are_means_over_scored_tokens_one_example_at_a_time():
    model, tokenizer = tiny_llama(), character_tokenizer()
    examples = tokenise(tokenizer, EXAMPLES[:6], Setting(max_tokens=128))
    values = log_perplexity(model, examples, torch.device("cpu"), nullcontext())
    for one in examples:
        with torch.no_grad():
            logs = torch.log_softmax(model(torch.tensor([one.tokens])).logits[0].double(), -1)
        nats = [-float(logs[at - 1, one.tokens[at]]) for at, scored in enumerate(one.scored) if scored]
        assert values[one.id] == pytest.approx(np.mean(nats), abs=1e-4)


def test_modes_and_random_states_are_as_they_were():
    model = tiny_llama()
    model.train()
    model.model.layers[0].eval()  # a frozen part that its owner keeps in evaluation mode
    before = [module.training for module in model.modules()]
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    expected = torch.rand(3), random.random(), np.random.random()
    torch.manual_seed(1), random.seed(1), np.random.seed(1)
    with pytest.raises(ZeroDivisionError), untouched(model):
        assert not any(module.training for module in model.modules())
        torch.rand(7), random.random(), np.random.random()
        raise ZeroDivisionError
    assert [module.training for module in model.modules()] == before
    assert torch.equal(torch.rand(3), expected[0]) and (random.random(), np.random.random()) == expected[1:]


def test_a_trainer_without_a_tokenizer_is_refused():
    with pytest.raises(UnsupportedModel, match="processing_class"):
        tokenise(None, EXAMPLES, Setting())


def test_conversations_need_a_chat_template():
    with pytest.raises(UnsupportedModel, match="chat template"):
        tokenise(character_tokenizer(chat_template=None), EXAMPLES, Setting())
