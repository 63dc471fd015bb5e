"""Several examples in one row: shorter rows of padding, the same examples, and none that sees another.

The model is told by positions that begin anew, and no mask, where an example begins; transformers makes of them a mask
in blocks, kernels for sequences of different lengths their offsets. Not every model listens, so each is asked.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from transformers import PreTrainedModel

from forgetcast.errors import NotForModel
from workers.attempt.model.own_code import as_measured, first_line
from workers.attempt.model.rotary import any_beyond
from workers.attempt.texts.tokens import Tokens

IGNORED = -100  # the label that transformers leaves out of the loss
SAME, COARSE = 1e-3, 0.25  # of a logit, over the largest: weights of 32 bits and of fewer


class Row(tuple[Tokens, ...]):
    """Examples that are read together."""

    @property
    def width(self) -> int:
        return sum(map(len, self))


def pack(examples: Sequence[Tokens], max_tokens: int) -> list[Row]:
    """Rows of at most `max_tokens`, by best fit, the longest examples first: TRL's `bfd`."""
    rows: list[list[Tokens]] = []
    left: list[int] = []
    for example in sorted(examples, key=len, reverse=True):  # stable: the same rows each time
        fitting = [place for place, room in enumerate(left) if room >= len(example)]
        if fitting:
            place = min(fitting, key=left.__getitem__)
            rows[place].append(example)
            left[place] -= len(example)
        else:
            rows.append([example])
            left.append(max_tokens - len(example))
    return [Row(row) for row in rows]


def collate_rows(batch: Sequence[Row | Tokens]) -> dict[str, Tensor | bool]:
    """Positions count from 0 in each example, and stay there in the padding: every token of it is a text of its own."""
    rows = [Row((row,)) if isinstance(row, Tokens) else row for row in batch]
    width = max(row.width for row in rows)
    ids, positions = (torch.zeros(len(rows), width, dtype=torch.long) for _ in range(2))
    labels = torch.full((len(rows), width), IGNORED)
    for place, row in enumerate(rows):
        start = 0
        for tokens in row:
            span = slice(start, start + len(tokens))
            sequence = torch.tensor(tokens.ids)
            ids[place, span], positions[place, span] = sequence, torch.arange(len(tokens))
            labels[place, span] = sequence.where(torch.tensor(tokens.scored), IGNORED)
            labels[place, start] = IGNORED  # nothing of this row says what comes first
            start = span.stop
    # A cache, which models make by themselves, would switch the mask of blocks off.
    return {"input_ids": ids, "position_ids": positions, "labels": labels, "use_cache": False}


def check_packing(model: PreTrainedModel, longest: int) -> None:
    """Raises NotForModel where the model does not read the examples of a row as if each were alone.

    `longest`: tokens of the longest example.
    """
    name = type(model).__name__
    if any_beyond(model, [longest]):
        raise NotForModel(
            f"the recipe's packing: what {name} says of a token depends on the longest example that is read with it"
        )
    weight = model.get_input_embeddings().weight
    assert isinstance(weight, Tensor)
    drawn = torch.randint(5, weight.shape[0], (19,), generator=torch.Generator().manual_seed(4))
    texts = [Tokens(tuple(part.tolist()), (False,) * len(part)) for part in drawn.split([7, 12])]
    try:
        with as_measured(model):
            (together,) = _logits(model, [Row(texts)])
            apart = torch.cat([_logits(model, [Row((text,))])[0] for text in texts])
    except torch.OutOfMemoryError:
        raise
    except Exception as error:  # of the model's own code
        said = first_line(error)
        raise NotForModel(f"the recipe's packing: {name} does not take positions of several texts: {said}") from error
    same = (SAME if model.dtype.itemsize >= 4 else COARSE) * max(1.0, float(apart.abs().max()))
    if together.shape != apart.shape or not float((together - apart).abs().max()) <= same:
        raise NotForModel(f"the recipe's packing: {name} lets the examples of a row see each other")


def _logits(model: PreTrainedModel, rows: Sequence[Row]) -> Tensor:
    batch = collate_rows(rows)
    del batch["labels"]
    given = {name: value.to(model.device) if isinstance(value, Tensor) else value for name, value in batch.items()}
    logits: Tensor = type(model).forward(model, **given).logits
    return logits.float()
