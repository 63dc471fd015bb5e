"""A causal language model of transformers, measured through its inner decoder."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel

from workers.attempt.model.float32_product import float32_product, takes
from workers.attempt.model.language_model import Reading
from workers.attempt.model.rotary import forget_lengths, rotary_limit
from workers.attempt.model.text_part import decoder_of


class TransformersModel:
    """Hidden states by the inner decoder, logits by the projection, or by whatever else the model's own head does.

    The inner decoder, because a trainer wraps `model.forward` (mixed precision, float32 output) and never unwraps it.
    """

    def __init__(
        self, model: PreTrainedModel, *, dtype: torch.dtype, reading: Reading | None = None, own_head: bool = False
    ) -> None:
        """`own_head`: the model scales, caps or transforms its logits, so that the projection alone is not its head.

        `self_check.ways_to_read` finds `reading` and `own_head` for a model.
        """
        self._model = model
        self._decoder = decoder_of(model)
        self._own_head = own_head
        self._dtype = dtype
        self._reading = reading or Reading(rotary_limit=rotary_limit(model))
        self._prefix: tuple[int, ...] = ()
        self._prefix_cache: Any = None

    @property
    def device(self) -> torch.device:
        return self._model.device

    @property
    def reading(self) -> Reading:
        return self._reading

    @contextlib.contextmanager
    def reading_after(self, prefix: Sequence[int]) -> Iterator[None]:
        was_training = self._model.training
        self._model.eval()
        self._prefix = tuple(prefix)
        try:
            if prefix:
                self._prefix_cache = self._read_prefix()
            yield
        finally:
            self._prefix, self._prefix_cache = (), None
            self._model.train(was_training)

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        if self._reading.rotary_limit is not None:
            forget_lengths(self._model)
        if self._reading.alone:
            with self._precision():
                return own_logits(self._model, ids.to(self.device), present.to(self.device))
        n_rows, n_prefix = ids.shape[0], len(self._prefix)
        mask = torch.cat([torch.ones(n_rows, n_prefix, dtype=torch.bool), present], dim=1).to(self.device)
        # Only what continues a prefix is told of caches: some decoders have none.
        after = {"past_key_values": self._repeated_prefix(n_rows), "use_cache": True} if n_prefix else {}
        with self._precision():
            output = self._decoder(
                input_ids=ids.to(self.device), attention_mask=mask.long(), **({"use_cache": False} | after)
            )
        states: Tensor = output.last_hidden_state
        return states

    def logits(self, states: Tensor) -> Tensor:
        if self._reading.alone:
            return states
        if self._own_head:
            with self._precision():
                return self._by_own_head(states)
        # Asked for each time: an adapter that is trained may put itself in the head's place.
        head: Any = self._model.get_output_embeddings()
        low = self._low_precision(head) if takes(head) else None
        if low is not None:
            return float32_product(states, head, low)
        with self._precision():
            scores: Tensor = head(states)
        return scores

    def _by_own_head(self, states: Tensor) -> Tensor:
        """What the model makes of the decoder's answer, by its own code, with these states as the answer."""
        ids = torch.zeros(1, len(states), dtype=torch.long, device=self.device)
        with _answering(self._decoder, states.unsqueeze(0)):
            return own_logits(self._model, ids, torch.ones_like(ids))[0]

    def _read_prefix(self) -> Any:
        cache = DynamicCache(config=self._model.config)
        if any(type(layer).__module__ != DynamicCache.__module__ for layer in cache.layers):
            raise NotImplementedError("the cache has layers of the model's own kind, which are not repeated here")
        with self._precision():
            self._decoder(
                input_ids=torch.tensor([self._prefix], device=self.device), past_key_values=cache, use_cache=True
            )
        return cache

    def _repeated_prefix(self, n_rows: int) -> Any:
        """The cache after the prefix, once for every row, windows and recurrent states as they stood then."""
        repeated = copy.deepcopy(self._prefix_cache)
        repeated.reorder_cache(torch.zeros(n_rows, dtype=torch.long, device=self.device))
        return repeated

    def _low_precision(self, head: nn.Linear) -> torch.dtype | None:
        """Fewer than 32 bits, where the weights or the pass have them."""
        return next((dtype for dtype in (self._dtype, head.weight.dtype) if dtype.itemsize < 4), None)

    def _precision(self) -> contextlib.AbstractContextManager[Any]:
        return torch.autocast(self.device.type, self._dtype, enabled=self._dtype != torch.float32)


def own_logits(model: PreTrainedModel, ids: Tensor, present: Tensor) -> Tensor:
    """(B, L, V) logits by the forward pass of the model's class: a trainer wraps that of the instance."""
    output = type(model).forward(model, input_ids=ids, attention_mask=present.long())
    scores: Tensor = output.logits
    return scores


class _Answer(dict[str, Any]):
    """Hidden states in the form of a decoder's output: by name, by position, None for whatever it has besides."""

    def __init__(self, states: Tensor) -> None:
        super().__init__(last_hidden_state=states)
        self.last_hidden_state = states

    def __getattr__(self, name: str) -> None:
        if name.startswith("__"):
            raise AttributeError(name)

    def __getitem__(self, place: Any) -> Any:
        return self.last_hidden_state if place in (0, "last_hidden_state") else None


@contextlib.contextmanager
def _answering(decoder: Any, states: Tensor) -> Iterator[None]:
    """The decoder answers with these states instead of reading."""
    before = decoder.__dict__.get("forward")
    decoder.forward = lambda *_args, **_kwargs: _Answer(states)
    try:
        yield
    finally:
        del decoder.forward
        if before is not None:
            decoder.forward = before
