"""Token ids -> log-perplexity, in nats per scored token, and whether greedy decoding would write those tokens.

Notation
    ids     token ids of a batch                        (B, L)
    h       hidden states of the decoder                (B, L, H)
    w       log-softmax over the vocabulary, float32    (n, V), n scored positions

The vocabulary is far wider than the hidden state, so it is met only at scored positions and a few hundred rows at a
time: no (B, L, V) tensor exists. Sequences are sorted by length and batched by tokens, so padding is rare.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from workers.attempt.model.language_model import FASTEST, LanguageModel, Reading
from workers.attempt.texts.tokens import Tokens

ROWS_PER_PROJECTION = 512  # 512 x 49,152 float32 is 100 MB; larger is no faster

Values = NDArray[np.float32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """What one pass tells of n examples.

    log_perplexity : (n,) mean negative log-probability of the scored tokens, nats per token
    exact : (n,) whether each scored token is the model's first choice, the lowest id among equals. Then, and only then,
        greedy decoding after the unscored tokens writes exactly the scored ones; beyond where an example is cut nothing
        is said.
    """

    log_perplexity: Values
    exact: Flags


def log_perplexity(model: LanguageModel, examples: Sequence[Tokens], *, tokens_per_batch: int = 2048) -> Values:
    """Mean negative log-probability of the scored tokens of each example: (n,) float32, nats per token."""
    return score(model, examples, tokens_per_batch=tokens_per_batch).log_perplexity


def score(
    model: LanguageModel,
    examples: Sequence[Tokens],
    *,
    tokens_per_batch: int = 2048,
    on_progress: Callable[[int], None] = lambda n_done: None,
) -> Scores:
    """Log-perplexity of each example, and whether greedy decoding would write it.

    Source: Jin and Ren, arXiv:2406.14026, whose forgetting is the former after fine-tuning minus before, or the loss of
    the latter.

    Parameters
    ----------
    examples : (n,) sequences, each with at least one scored token
    tokens_per_batch : padded tokens a batch holds at most; a longer sequence makes a batch of its own
    on_progress : called with the number of examples done so far
    """
    values, exact = np.full(len(examples), np.nan, np.float32), np.zeros(len(examples), np.bool_)
    reading, n_done = model.reading, 0
    ordinary = [i for i, tokens in enumerate(examples) if not reading.kind(len(tokens))]
    others = [i for i, tokens in enumerate(examples) if reading.kind(len(tokens))]
    prefix = shared_prefix([examples[i] for i in ordinary]) if reading.shares_prefix else ()
    with torch.inference_mode():
        for group, skip in ((others, ()), (ordinary, prefix)):
            with model.reading_after(skip):
                for places in batches([len(examples[i]) for i in group], tokens_per_batch, reading):
                    batch = [group[place] for place in places]
                    values[batch], exact[batch] = _scores(model, [examples[i] for i in batch], len(skip))
                    n_done += len(batch)
                    on_progress(n_done)
    return Scores(values, exact)


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


def _scores(model: LanguageModel, batch: Sequence[Tokens], skip: int) -> tuple[Values, Flags]:
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
    nats, missed = _of_tokens(model, h[rows, columns - 1], ids[rows, columns].to(h.device))
    rows = rows.to(h.device)
    zeros = torch.zeros(len(batch), dtype=torch.float64, device=h.device)
    totals, n_missed = zeros.index_add(0, rows, nats.double()), zeros.index_add(0, rows, missed.double())
    return (totals.cpu() / scored.sum(1)).numpy().astype(np.float32), (n_missed.cpu() == 0).numpy()


def _of_tokens(model: LanguageModel, predictors: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """(n, H) hidden states and (n,) the tokens they shall predict -> (n,) nats, (n,) whether another is likelier."""
    nats, missed = list[Tensor](), list[Tensor]()
    for states, wanted in zip(predictors.split(ROWS_PER_PROJECTION), targets.split(ROWS_PER_PROJECTION), strict=True):
        logits = model.logits(states).float()
        nats.append(torch.nn.functional.cross_entropy(logits, wanted, reduction="none"))
        missed.append(logits.argmax(-1) != wanted)
    return torch.cat(nats), torch.cat(missed)
