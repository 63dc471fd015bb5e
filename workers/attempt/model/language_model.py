"""What measuring needs of a language model: a protocol, and how its sequences may be read together."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Reading:
    """How sequences may be read so that each one's value is a function of it alone; the default is the fastest way.

    shares_prefix : tokens that all sequences begin with are read once, and their cache is continued
    pads : sequences of different lengths share a batch
    alone : one sequence at a time, through the model's own forward pass: right for every model, and slow
    rotary_limit : tokens; beyond so many the rotary frequencies depend on the longest sequence of a batch
    """

    shares_prefix: bool = True
    pads: bool = True
    alone: bool = False
    rotary_limit: int | None = None

    def kind(self, length: int) -> int:
        """Sequences are read together when this is the same for their lengths; those of kind 0 may share a prefix."""
        if not self.pads or (self.rotary_limit is not None and length > self.rotary_limit):
            return length
        return 0

    @property
    def said(self) -> str:
        """In words, for whoever asks why a model is read slowly."""
        if self.alone:
            return "one sequence at a time, through the model's own forward pass"
        batches = "batches of mixed lengths" if self.pads else "batches of equal lengths"
        prefix = "a shared prompt read once" if self.shares_prefix and self.pads else "no shared prompt"
        beyond = "" if self.rotary_limit is None else f"; beyond {self.rotary_limit} tokens batches of equal lengths"
        return f"{batches}, {prefix}{beyond}"


FASTEST = Reading()


class LanguageModel(Protocol):
    """Hidden states first, the vocabulary projection apart: so it can be taken at scored positions only."""

    @property
    def reading(self) -> Reading: ...

    def reading_after(self, prefix: Sequence[int]) -> contextlib.AbstractContextManager[None]:
        """Within it every sequence given to `hidden` continues these tokens."""
        ...

    def hidden(self, ids: Tensor, present: Tensor) -> Tensor:
        """(B, L) token ids and (B, L) bool, False at padding on the right -> (B, L, H)."""
        ...

    def logits(self, states: Tensor) -> Tensor:
        """(n, H) hidden states -> (n, V) logits."""
        ...
