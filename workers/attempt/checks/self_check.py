"""The fast ways to read a model against its own forward pass, one sequence at a time, on a few random examples.

Families of models differ in what may be done to their sequences: padding, a cache that is continued, the projection
taken apart. No list of names says which; each model is asked once, when it is loaded, and the fastest way that gives
its own values is taken. A model that looks ahead is found the same way, and refused.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache, PreTrainedModel

from forgetcast.errors import UnsupportedModel
from workers.attempt.checks.limits import n_vocabulary
from workers.attempt.measuring.log_perplexity import Values, log_perplexity
from workers.attempt.model.language_model import Reading
from workers.attempt.model.own_code import as_measured, first_line
from workers.attempt.model.rotary import rotary_limit
from workers.attempt.model.transformers_model import TransformersModel, own_logits
from workers.attempt.texts.tokens import Tokens

log = logging.getLogger(__name__)

SAME, COARSE = 1e-4, 0.1  # nats per token, with weights of 32 bits and of fewer
ROUNDING = 1e-5  # times the value
FAR = 30.0  # standard deviations: hidden states where no cap of the logits can be taken for none
SHORT = (5, (2, 19))  # tokens of a shared beginning, and of what follows it in each example
LONGEST_CHECK = 300  # tokens; windows beyond are trusted to the cache that the library makes for them
CHUNK = 70  # tokens: recurrent layers work in chunks of 64


@dataclass(frozen=True)
class Way:
    """How a model is read: see Reading, and `own_head` of TransformersModel."""

    reading: Reading
    own_head: bool

    def model(self, model: PreTrainedModel, dtype: torch.dtype) -> TransformersModel:
        return TransformersModel(model, dtype=dtype, reading=self.reading, own_head=self.own_head)


def way_to_read(model: PreTrainedModel) -> Way:
    """The fastest way that agrees with the model's own forward pass.

    Raises
    ------
    UnsupportedModel : a token's logits depend on later tokens, or differ from one pass to the next
    """
    limit = rotary_limit(model)
    with as_measured(model):
        _check_causal(model)
        own_head = not _is_plain(model)
        sample = _Sample(model, _examples(model, *SHORT))
        for found in (Reading(), Reading(shares_prefix=False), Reading(shares_prefix=False, pads=False)):
            way = Way(replace(found, rotary_limit=limit), own_head)
            if sample.agrees(way) and (not found.shares_prefix or _continues(model, way)):
                return way
    return Way(Reading(shares_prefix=False, pads=False, alone=True, rotary_limit=limit), False)


class _Sample:
    """A few examples with their values by the model's own forward pass, one at a time."""

    def __init__(self, model: PreTrainedModel, examples: Sequence[Tokens]) -> None:
        self._model, self._examples = model, examples
        self.values = reference(model, examples)
        self._same = SAME if model.dtype.itemsize >= 4 else COARSE

    def agrees(self, way: Way) -> bool:
        try:
            fast = log_perplexity(way.model(self._model, torch.float32), self._examples)
        except torch.OutOfMemoryError:
            raise
        except Exception as error:  # whatever a model's code does with it: this way is none
            log.info("%s cannot be read by %s: %r", type(self._model).__name__, way, error)
            return False
        return bool(np.allclose(fast, self.values, atol=self._same, rtol=ROUNDING))


def _is_plain(model: PreTrainedModel) -> bool:
    """Whether the model's own head is the projection alone, also of states that are far from those of a few tokens; yes
    where its code cannot be asked, for then the examples tell."""
    head = model.get_output_embeddings()
    if head is None:
        return False
    plain, own = (Way(Reading(), own_head).model(model, torch.float32) for own_head in (False, True))
    assert isinstance(head.weight, Tensor)
    drawn = torch.randn(4, head.weight.shape[1], generator=torch.Generator().manual_seed(0))
    states = (FAR * drawn).to(model.device, model.dtype)
    try:
        left, right = plain.logits(states).float(), own.logits(states).float()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the model's own code
        log.info("the head of %s cannot be asked alone: %r", type(model).__name__, error)
        return True
    return left.shape == right.shape and torch.allclose(left, right, rtol=1e-3, atol=1e-3 * float(left.abs().max()))


def reference(model: PreTrainedModel, examples: Sequence[Tokens]) -> Values:
    """Log-perplexity of each example by the model's own forward pass over it alone: (n,) nats per token."""
    alone = Reading(shares_prefix=False, pads=False, alone=True, rotary_limit=rotary_limit(model))
    return log_perplexity(TransformersModel(model, dtype=torch.float32, reading=alone), examples)


def _continues(model: PreTrainedModel, way: Way) -> bool:
    """Whether layers that keep less than every token are continued rightly: windows, recurrent and chunked states."""
    prefixes = sorted({n for n in _turns(model) if n + 24 <= LONGEST_CHECK})
    samples = (_Sample(model, _examples(model, n, (3, 24))) for n in prefixes)
    return all(sample.agrees(way) for sample in samples)


def _turns(model: PreTrainedModel) -> Iterator[int]:
    """Lengths of a prefix at which the model's layers begin to do something else."""
    layers = DynamicCache(config=model.config).layers
    for layer in layers:
        window = getattr(layer, "sliding_window", None)
        if window is not None:
            yield int(window) + 3
    if any(hasattr(layer, "recurrent_states") or hasattr(layer, "conv_states") for layer in layers):
        yield CHUNK


def _check_causal(model: PreTrainedModel) -> None:
    name = type(model).__name__
    ids = _random_ids(model, 16, seed=0).repeat(3, 1)
    ids[2, -4:] = _random_ids(model, 4, seed=1)[0]
    try:
        first, again, other = own_logits(model, ids, torch.ones_like(ids))[:, :-4].float()
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the model's own code
        raise UnsupportedModel(
            f"{name} does not read texts of {ids.shape[1]} tokens here: {first_line(error)}"
        ) from error
    if not torch.isfinite(first).all():
        raise UnsupportedModel(f"{name} answers with numbers that are not finite")
    same = (SAME if model.dtype.itemsize >= 4 else COARSE) * max(1.0, float(first.abs().max()))
    if not torch.allclose(first, again, atol=same):
        raise UnsupportedModel(f"{name} answers differently to the same text, so nothing can be measured")
    if not torch.allclose(first, other, atol=same):
        raise UnsupportedModel(
            f"{name} is not causal: what it says of a token depends on later ones, so it has no log-perplexity"
        )


def check_trains(model: PreTrainedModel) -> None:
    """Raises UnsupportedModel when the model's own code takes no batch of text for training: found without gradients,
    on a few tokens, before anything is measured."""
    ids = torch.cat([_random_ids(model, 8, seed=0), _random_ids(model, 8, seed=1)])
    was_training = model.training
    model.train()
    try:
        with torch.no_grad(), torch.random.fork_rng():  # dropout draws
            model(input_ids=ids, attention_mask=torch.ones_like(ids), labels=ids)
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the model's own code
        raise UnsupportedModel(f"{type(model).__name__} cannot be fine-tuned here: {first_line(error)}") from error
    finally:
        model.train(was_training)


def _examples(model: PreTrainedModel, n_shared: int, lengths: Sequence[int]) -> list[Tokens]:
    """Random tokens after a shared beginning that is not scored, but for its last token."""
    shared = _random_ids(model, n_shared, seed=2)[0].tolist()
    examples = []
    for seed, length in enumerate(lengths, start=3):
        own = _random_ids(model, length, seed=seed)[0].tolist()
        examples.append(Tokens((*shared, *own), (False,) * (n_shared + 1) + (True,) * (length - 1)))
    return examples


def _random_ids(model: PreTrainedModel, length: int, seed: int) -> Tensor:
    """(1, length) ordinary tokens, none of those to which the config gives a meaning of its own."""
    n_drawn = min(n_vocabulary(model), 4096)
    special = _special_tokens(model.config.to_dict())
    ordinary = torch.tensor([token for token in range(n_drawn) if token not in special])
    drawn = torch.randint(len(ordinary), (1, length), generator=torch.Generator().manual_seed(seed))
    return ordinary[drawn].to(model.device)


def _special_tokens(config: dict[Any, Any]) -> set[int]:
    found: set[int] = set()
    for name, value in config.items():
        if isinstance(value, dict):
            found |= _special_tokens(value)
        elif str(name).endswith(("token_id", "token_index", "token_ids")):
            found |= {token for token in (value if isinstance(value, list) else [value]) if isinstance(token, int)}
    return found
