"""Token ids -> log-perplexity, in nats per scored token.

Notation
    ids     token ids of a batch                        (B, L)
    h       hidden states of the decoder                (B, L, H)
    w       log-softmax over the vocabulary, float32    (n, V), n scored positions

The vocabulary is far wider than the hidden state, so it is met only at scored positions and a few hundred rows at a
time: no (B, L, V) tensor exists. Sequences are sorted by length and batched by tokens, so padding is rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from workers.attempt.language_model import FASTEST, LanguageModel, Reading
from workers.attempt.tokens import Tokens

ROWS_PER_PROJECTION = 512  # 512 x 49,152 float32 is 100 MB; larger is no faster

Values = NDArray[np.float32]


def log_perplexity(
    model: LanguageModel,
    examples: Sequence[Tokens],
    *,
    tokens_per_batch: int = 2048,
    on_progress: Callable[[int], None] = lambda n_done: None,
) -> Values:
    """Mean negative log-probability of the scored tokens of each example: (n,) float32, nats per token.

    Source: Jin and Ren, arXiv:2406.14026, whose forgetting is this after fine-tuning minus before.

    Parameters
    ----------
    examples : (n,) sequences, each with at least one scored token
    tokens_per_batch : padded tokens a batch holds at most; a longer sequence makes a batch of its own
    on_progress : called with the number of examples done so far
    """
    values = np.full(len(examples), np.nan, np.float32)
    reading, n_done = model.reading, 0
    ordinary = [i for i, tokens in enumerate(examples) if not reading.kind(len(tokens))]
    others = [i for i, tokens in enumerate(examples) if reading.kind(len(tokens))]
    prefix = shared_prefix([examples[i] for i in ordinary]) if reading.shares_prefix else ()
    with torch.inference_mode():
        for group, skip in ((others, ()), (ordinary, prefix)):
            with model.reading_after(skip):
                for places in batches([len(examples[i]) for i in group], tokens_per_batch, reading):
                    batch = [group[place] for place in places]
                    values[batch] = _batch_log_perplexity(model, [examples[i] for i in batch], len(skip))
                    n_done += len(batch)
                    on_progress(n_done)
    return values


def batches(lengths: Sequence[int], tokens_per_batch: int, reading: Reading = FASTEST) -> Iterator[list[int]]:
    """Positions in batches of similar length, longest first: out of memory shows at once, not at the end."""
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    batch: list[int] = []
    for position in order:
        if batch and (
            reading.alone
            or (len(batch) + 1) * lengths[batch[0]] > tokens_per_batch
            or reading.kind(lengths[position]) != reading.kind(lengths[batch[0]])
        ):
            yield batch
            batch = []
        batch.append(position)
    if batch:
        yield batch


def shared_prefix(examples: Sequence[Tokens]) -> tuple[int, ...]:
    """The unscored tokens that all sequences begin with, often a system prompt: they are read once, not n times."""
    if len(examples) < 2:
        return ()
    first, last = min(tokens.ids for tokens in examples), max(tokens.ids for tokens in examples)
    limit = min(tokens.scored.index(True) for tokens in examples)
    length = 0
    # The token before the first scored one predicts it, so it stays with its sequence.
    while length < min(limit - 1, len(first), len(last)) and first[length] == last[length]:
        length += 1
    return first[:length]


def _batch_log_perplexity(model: LanguageModel, batch: Sequence[Tokens], skip: int) -> Values:
    width = max(len(tokens) for tokens in batch) - skip
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    present = torch.zeros(len(batch), width, dtype=torch.bool)
    scored = torch.zeros(len(batch), width, dtype=torch.bool)
    for row, tokens in enumerate(batch):
        length = len(tokens) - skip
        ids[row, :length] = torch.tensor(tokens.ids[skip:])
        present[row, :length] = True
        scored[row, :length] = torch.tensor(tokens.scored[skip:])

    h = model.hidden(ids, present)
    rows, columns = scored.nonzero(as_tuple=True)
    # Position t is predicted from the hidden state at t - 1.
    predictors, targets = h[rows, columns - 1], ids[rows, columns].to(h.device)
    nats = torch.cat(
        [
            torch.nn.functional.cross_entropy(model.logits(states).float(), wanted, reduction="none")
            for states, wanted in zip(
                predictors.split(ROWS_PER_PROJECTION), targets.split(ROWS_PER_PROJECTION), strict=True
            )
        ]
    ).double()
    totals = torch.zeros(len(batch), dtype=torch.float64, device=nats.device).index_add_(0, rows.to(nats.device), nats)
    return (totals.cpu() / scored.sum(1)).numpy().astype(np.float32)
