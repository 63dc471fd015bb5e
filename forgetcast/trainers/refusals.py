"""Trainers with which replay would not mean what it says: refused before the run, with what to change."""

from __future__ import annotations

import logging
from itertools import pairwise
from typing import Any

from transformers import Trainer

from forgetcast.errors import InvalidRequest
from forgetcast.trainers.rows import ROW

logger = logging.getLogger("forgetcast.trainers")

PACKING = (
    "packing joins rows into one sequence, so that nobody can say which example a draw replays: set packing=False, or "
    "mix offline (forgetcast.trainers.mix), which packs well"
)


def check_trainer(trainer: Trainer) -> None:
    """Raises InvalidRequest unless the trainer reads rows of the mixed data set one by one, in the sampler's order."""
    args: Any = trainer.args
    if getattr(args, "packing", False):
        raise InvalidRequest(PACKING)
    strategy = "group_by_length" if getattr(args, "group_by_length", False) else args.train_sampling_strategy
    if strategy != "random":
        raise InvalidRequest(
            f"train_sampling_strategy={strategy!r} puts rows in an order of its own, which would undo that of replay: "
            f'leave it at "random"'
        )
    if getattr(args, "shuffle_dataset", False):
        raise InvalidRequest("shuffle_dataset=True moves rows before they are drawn: leave it out, replay shuffles")
    if type(trainer)._get_train_sampler is not Trainer._get_train_sampler:
        raise InvalidRequest(
            f"{type(trainer).__name__} draws its rows in a way of its own; replay goes into Trainer and SFTTrainer"
        )


def kept_rows(trainer: Trainer, n_rows: int) -> list[int]:
    """Which rows of replay.dataset the trainer has, in order, by the column of row numbers, which is taken away here.

    TRL leaves out rows in which `max_length` cuts off all that is learned from. Where the column is gone, a map of the
    user's removed it, and all rows must be there.

    Raises
    ------
    InvalidRequest : a stream, other rows, or rows in another order
    """
    dataset: Any = trainer.train_dataset
    n_found = _n_rows(dataset)
    if n_found is None:
        raise InvalidRequest(
            "the trainer reads a stream, whose rows cannot be drawn by number: give it replay.dataset, or what "
            "replay.dataset.map(...) makes of it"
        )
    if ROW not in getattr(dataset, "column_names", ()):
        if n_found != n_rows:
            raise InvalidRequest(
                f"the trainer has {n_found} rows and replay.dataset {n_rows}: give the trainer replay.dataset, or what "
                f"a map makes of it row by row; to leave rows out, keep its column {ROW!r}"
            )
        return list(range(n_rows))
    rows = [int(row) for row in dataset[ROW]]
    if any(after <= before for before, after in pairwise(rows)):
        raise InvalidRequest("the rows of replay.dataset were put into another order; leave that to the sampler")
    trainer.train_dataset = dataset.remove_columns(ROW)
    if n_found < n_rows:
        logger.info("the trainer left out %d of %d rows of task and pool", n_rows - n_found, n_rows)
    return rows


def _n_rows(dataset: Any) -> int | None:
    try:
        return len(dataset)
    except TypeError:
        return None
