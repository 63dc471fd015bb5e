"""How a model is read is found out once for the same files, libraries and device."""

from __future__ import annotations

import json

import pytest
import torch
from transformers import BertConfig, BertLMHeadModel

from forgetcast.errors import UnsupportedModel
from tests.workers.language_models import tiny_llama
from workers.attempt.checks.kept_way import examined
from workers.attempt.checks.self_check import Way
from workers.attempt.model.language_model import Reading

OF = ("revision", {"torch": "2"}, "cpu")


def test_what_was_found_is_kept_and_used(tmp_path):
    way = examined(tiny_llama(), tmp_path, OF)
    (file,) = tmp_path.iterdir()
    assert way == Way(Reading(), False)
    slow = Way(Reading(shares_prefix=False, pads=False, alone=True), True)
    file.write_text(json.dumps({"reading": vars(slow.reading), "own_head": True}))
    assert examined(tiny_llama(), tmp_path, OF) == slow


@pytest.mark.parametrize(
    "other", [("another", OF[1], "cpu"), (OF[0], {"torch": "3"}, "cpu"), (OF[0], OF[1], "NVIDIA H100")]
)
def test_other_files_libraries_or_devices_are_examined_again(tmp_path, other):
    examined(tiny_llama(), tmp_path, OF)
    next(tmp_path.iterdir()).write_text('{"reading": {"alone": true}, "own_head": true}')
    assert examined(tiny_llama(), tmp_path, other) == Way(Reading(), False)


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"reading": {"pages": true}, "own_head": false}'])
def test_a_damaged_note_counts_as_absent(tmp_path, content):
    examined(tiny_llama(), tmp_path, OF)
    next(tmp_path.iterdir()).write_bytes(content)
    assert examined(tiny_llama(), tmp_path, OF) == Way(Reading(), False)


def test_nothing_is_kept_of_a_model_that_is_refused(tmp_path):
    torch.manual_seed(0)
    config = BertConfig(vocab_size=97, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32)
    with pytest.raises(UnsupportedModel, match="not causal"):
        examined(BertLMHeadModel(config).eval(), tmp_path, OF)
    assert list(tmp_path.iterdir()) == []
