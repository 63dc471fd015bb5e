"""Log-perplexity of upstream examples by the model that a user's trainer has, in nats per scored token.

The tokens are those that the matrix's setting scores (all, or of an example's answers; cut at its `max_tokens`), made
with the trainer's own tokenizer, so that the values stand beside those of the matrix's rows. Both measurings of a run
are made here, with the same model class, precision and batches: what differs from a worker's numbers cancels.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

import torch

from forgetcast.errors import UnsupportedModel
from forgetcast.schemas import Setting, UpstreamExample

TOKENS_PER_BATCH = 2048
Span = tuple[int, int]  # of characters


class Scored(NamedTuple):
    """One example: its id, token ids (L,) and whether each is scored (L,)."""

    id: str
    tokens: tuple[int, ...]
    scored: tuple[bool, ...]


def tokenise(tokenizer: Any, examples: Iterable[UpstreamExample], setting: Setting) -> list[Scored]:
    """The examples that have a scored token under the setting.

    Raises
    ------
    UnsupportedModel : the trainer has no fast tokenizer, or the examples are conversations and it has no chat template
    """
    if tokenizer is None or not getattr(tokenizer, "is_fast", False):
        raise UnsupportedModel("the trainer has no fast tokenizer: give it as processing_class=tokenizer")
    made = [_tokenised(tokenizer, example, setting) for example in examples]
    return [one for one in made if one is not None and any(one.scored)]


def log_perplexity(
    model: Any, examples: Sequence[Scored], device: torch.device, autocast: AbstractContextManager[Any]
) -> dict[str, float]:
    """Mean negative log-probability of the scored tokens, by example id. The model is read as it stands.

    In a sharded run every process must call it, with the same examples: each forward pass gathers the weights.
    """
    values: dict[str, float] = {}
    with torch.no_grad(), autocast:
        for batch in _batches(examples):
            values |= _batch_values(model, batch, device)
    return values


def _batch_values(model: Any, batch: Sequence[Scored], device: torch.device) -> dict[str, float]:
    width = max(len(one.tokens) for one in batch)
    ids = torch.zeros(len(batch), width, dtype=torch.long)
    present, scored = torch.zeros_like(ids), torch.zeros(len(batch), width, dtype=torch.bool)
    for row, one in enumerate(batch):
        ids[row, : len(one.tokens)] = torch.tensor(one.tokens)
        present[row, : len(one.tokens)] = 1
        scored[row, : len(one.tokens)] = torch.tensor(one.scored)
    logits = model(input_ids=ids.to(device), attention_mask=present.to(device), use_cache=False).logits
    found = {}
    for row, one in enumerate(batch):
        columns = scored[row].nonzero(as_tuple=True)[0]
        predicted = logits[row, (columns - 1).to(logits.device)].float()
        wanted = ids[row, columns].to(logits.device)
        found[one.id] = float(torch.nn.functional.cross_entropy(predicted, wanted))
    return found


def _batches(examples: Sequence[Scored]) -> Iterable[list[Scored]]:
    """Of similar length, the longest first, with at most so many padded tokens; longer ones alone."""
    batch: list[Scored] = []
    for one in sorted(examples, key=lambda one: (-len(one.tokens), one.id)):
        if batch and (len(batch) + 1) * len(batch[0].tokens) > TOKENS_PER_BATCH:
            yield batch
            batch = []
        batch.append(one)
    if batch:
        yield batch


def _tokenised(tokenizer: Any, example: UpstreamExample, setting: Setting) -> Scored | None:
    text, spans = _rendered(tokenizer, example)
    begun = bool(tokenizer.bos_token) and text.startswith(str(tokenizer.bos_token))
    encoded = tokenizer(text, add_special_tokens=not example.messages and not begun, return_offsets_mapping=True)
    tokens = tuple(encoded["input_ids"][: setting.max_tokens])
    offsets = encoded["offset_mapping"][: setting.max_tokens]
    if setting.scored == "all":
        spans = [(0, len(text))]
        scored = [True] * len(tokens)
    else:
        scored = [any(begin < last and first < end for first, last in spans) for begin, end in offsets]
    scored[:1] = [False] * len(scored[:1])  # the first token is never predicted
    return Scored(example.id, tokens, tuple(scored)) if spans else None


def _rendered(tokenizer: Any, example: UpstreamExample) -> tuple[str, list[Span]]:
    """The text of an example and the spans of its answers; none where the template rewrites its turns."""
    if not example.messages:
        text = example.text or ""
        return text, [(0, len(text))]
    if not tokenizer.chat_template:
        raise UnsupportedModel(
            "the upstream examples are conversations, and the trainer's tokenizer has no chat template"
        )
    turns = [turn.model_dump(mode="json") for turn in example.messages]
    text = tokenizer.apply_chat_template(turns, tokenize=False)
    spans: list[Span] = []
    for place, turn in enumerate(turns):
        if turn["role"] != "assistant":
            continue
        opening = (
            tokenizer.apply_chat_template(turns[:place], tokenize=False, add_generation_prompt=True) if place else ""
        )
        closing = tokenizer.apply_chat_template(turns[: place + 1], tokenize=False)
        if not (opening and text.startswith(opening) and text.startswith(closing)):
            return text, []
        spans.append((len(opening), len(closing.rstrip())))
    return text, spans
