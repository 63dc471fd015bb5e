"""What measuring asks of an engine: packed token ids in, scores out. Another engine is another class, and no branch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from workers.attempt.measuring.log_perplexity import Scores, score
from workers.attempt.model.language_model import LanguageModel
from workers.attempt.texts.tokens import Tokens

TRANSFORMERS = "transformers"


@dataclass(frozen=True)
class Packed:
    """n sequences end to end, without padding.

    ids : (T,) token ids        scored : (T,) which of them count        offsets : (n + 1,) where each sequence begins
    """

    ids: NDArray[np.int64]
    scored: NDArray[np.bool_]
    offsets: NDArray[np.int64]

    @classmethod
    def of(cls, examples: Sequence[Tokens]) -> Packed:
        return cls(
            np.array([token for tokens in examples for token in tokens.ids], np.int64),
            np.array([mark for tokens in examples for mark in tokens.scored], np.bool_),
            np.cumsum([0, *map(len, examples)], dtype=np.int64),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def sequences(self) -> list[Tokens]:
        bounds = self.offsets.tolist()
        return [
            Tokens(tuple(self.ids[begin:end].tolist()), tuple(self.scored[begin:end].tolist()))
            for begin, end in pairwise(bounds)
        ]


class Scorer(Protocol):
    """Reads sequences through one model, whose weights may change between two calls."""

    @property
    def engine(self) -> str:
        """As the setting names it: values from before and after never come from two engines."""
        ...

    def score(self, packed: Packed, on_progress: Callable[[int], None]) -> Scores:
        """Scores of n sequences, each with a scored token; `on_progress` is told how many are done."""
        ...


class TransformersScorer:
    """Through a model of transformers in this process, the one that is fine-tuned."""

    engine = TRANSFORMERS

    def __init__(self, model: LanguageModel, tokens_per_batch: int) -> None:
        """`tokens_per_batch`: padded tokens that are read at once; halved for good when they do not fit."""
        self._model, self._tokens_per_batch = model, tokens_per_batch

    def score(self, packed: Packed, on_progress: Callable[[int], None] = lambda n_done: None) -> Scores:
        sequences = packed.sequences()
        while True:
            try:
                return score(self._model, sequences, tokens_per_batch=self._tokens_per_batch, on_progress=on_progress)
            except torch.OutOfMemoryError:
                if self._tokens_per_batch <= max(map(len, sequences)):
                    raise  # one sequence at a time: nothing smaller is left
            # Outside the handler, whose traceback would keep the tensors of the batch that did not fit.
            self._tokens_per_batch = max(self._tokens_per_batch // 2, 1)
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
