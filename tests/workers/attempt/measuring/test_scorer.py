"""Packed sequences through an engine, with fewer at once when they do not fit."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from tests.workers.language_models import UniformModel, tiny_llama
from workers.attempt.measuring.scorer import Packed, TransformersScorer
from workers.attempt.measuring.token_budget import tokens_per_batch
from workers.attempt.texts.tokens import Tokens


class SmallModel(UniformModel):
    """Has no memory for more than so many tokens at once."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.most = most
        self.largest = 0

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        if ids.numel() > self.most:
            raise torch.OutOfMemoryError(f"{ids.numel()} tokens")
        self.largest = max(self.largest, ids.numel())
        return super().hidden(ids, present)


def sequence(length: int) -> Tokens:
    return Tokens(tuple(range(1, length + 1)), (False,) + (True,) * (length - 1))


@given(st.lists(st.integers(2, 30), max_size=10))
def test_what_is_packed_comes_out_as_it_was(lengths):
    sequences = [sequence(length) for length in lengths]
    packed = Packed.of(sequences)
    assert len(packed) == len(lengths)
    assert packed.offsets[-1] == packed.ids.size == packed.scored.size == sum(lengths)
    assert packed.sequences() == sequences


def test_fewer_tokens_are_read_at_once_when_they_do_not_fit():
    model = SmallModel(most=40)
    values = TransformersScorer(model, 256).score(Packed.of([sequence(10)] * 30)).log_perplexity
    assert values == pytest.approx([np.log(97)] * 30)
    assert 20 <= model.largest <= 40


def test_a_sequence_that_does_not_fit_alone_is_the_devices_word():
    with pytest.raises(torch.OutOfMemoryError):
        TransformersScorer(SmallModel(most=8), 256).score(Packed.of([sequence(10)] * 4))


def test_a_gpu_reads_as_many_tokens_at_once_as_it_has_room_for():
    model, gpu = tiny_llama(), torch.device("cuda")
    few, many = (tokens_per_batch(model, gpu, n_free) for n_free in (1 << 26, 1 << 27))
    assert 2048 < few < many == pytest.approx(2 * few, abs=2)
    assert tokens_per_batch(model, gpu, 0) == tokens_per_batch(model, torch.device("cpu")) == 2048
