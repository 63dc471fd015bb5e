"""Language models small enough for a test: one with fixed logits, one tiny Llama, and a tokenizer of characters."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from workers.attempt.model.language_model import FASTEST

torch.set_num_threads(1)  # such small models only wait for more

CHARACTERS = ["<unk>", "\n", *map(chr, range(32, 127))]

CHAT_TEMPLATE = (
    "{% for message in messages %}[{{ message['role'] }}]{{ message['content'] }}<end>\n{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)


def character_tokenizer(chat_template: str | None = CHAT_TEMPLATE) -> PreTrainedTokenizerFast:
    """A token a character, so that every expectation can be counted by hand."""
    backend = Tokenizer(models.WordLevel({char: place for place, char in enumerate(CHARACTERS)}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex("[\\s\\S]"), "isolated")
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>", pad_token="<unk>")
    tokenizer.chat_template = chat_template
    return tokenizer


def tiny_llama(seed: int = 0) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(CHARACTERS),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=256,
        tie_word_embeddings=True,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():  # as initialised, all logits are nearly equal and every mistake would look small
        for parameter in model.parameters():
            parameter.mul_(5.0)
    model.eval()
    return model


class UniformModel:
    """Every token is equally likely: log-perplexity is log(vocabulary) whatever the text."""

    reading = FASTEST

    def __init__(self, vocabulary: int = 97) -> None:
        self.vocabulary = vocabulary

    @contextlib.contextmanager
    def reading_after(self, prefix: Sequence[int]) -> Iterator[None]:
        yield

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        return torch.zeros(*ids.shape, 1)

    def logits(self, states: Tensor) -> Tensor:
        return torch.zeros(states.shape[0], self.vocabulary)
