"""A task's data and a replay set in one Dataset.

Notation
    n    rows of the task, all of which are in the mix once
    k    replayed rows in the mix
    of the task   ratio = k / n          the paper's; 1/32 is its mixture
    of the mix    ratio = k / (n + k)    as others say it: 0.5 doubles the tokens
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from forgetcast.client import ReplaySet
from forgetcast.client.extras import extra
from forgetcast.completion.draws import Draws
from forgetcast.errors import BadDataset, InvalidRequest, OutOfRange
from forgetcast.trainers.rows import rows_like, task_layout, task_rows
from forgetcast.trainers.task_layout import TaskLayout

if TYPE_CHECKING:
    from datasets import Dataset

Meaning = Literal["task", "mix"]
TOKENISED = "input_ids"


def n_replayed(n_task: int, ratio: float, of: Meaning = "task") -> int:
    """Replayed rows beside `n_task` rows of the task, rounded up: the ratio is the least that is replayed.

    Raises
    ------
    OutOfRange : a ratio that is not positive; of the mix, one that is not below 1
    InvalidRequest : another meaning of a ratio
    """
    if of not in ("task", "mix"):
        raise InvalidRequest(f'a ratio is of the "task" or of the "mix", not of {of!r}')
    if not (math.isfinite(ratio) and ratio > 0):
        raise OutOfRange(f"the ratio must be a positive number, not {ratio!r}")
    if of == "mix" and ratio >= 1:
        raise OutOfRange(f"{ratio:g} of the mix leaves no room for the task; a ratio of the mix is below 1")
    exact = n_task * ratio if of == "task" else n_task * ratio / (1 - ratio)
    return math.ceil(round(exact, 9))  # 0.1 of 30 is 3, whatever binary fractions make of it


def mix(
    task_dataset: Dataset, replay_set: Dataset | ReplaySet, ratio: float, seed: int, *, of: Meaning = "task"
) -> Dataset:
    """Every row of the task once and replayed rows beside them, shuffled: the same for the same arguments.

    The task is never cut to make a ratio true: replayed rows are left out, drawn from the seed, or repeated, each as
    often as the others or once more. The columns are the task's; ids and weights of the replay set are left out.

    Parameters
    ----------
    replay_set : of `replay_dataset`, or of the client
    ratio : replayed rows, as a share of the task's rows, or of all rows with `of="mix"`

    Raises
    ------
    OutOfRange, InvalidRequest : a replay set of another layout, which would give rows of None
    """
    task = task_rows(task_dataset)
    replay = rows_like(replay_set.data, task) if isinstance(replay_set, ReplaySet) else task_rows(replay_set)
    n = n_replayed(len(task), ratio, of)
    if len(replay) == 0:
        raise InvalidRequest("the replay set is empty")
    draws = Draws(seed)
    whole, rest = divmod(n, len(replay))
    chosen = np.concatenate(
        [np.tile(np.arange(len(replay)), whole), draws.beginning_of_permutation(len(replay), rest)]
    ).astype(int)
    rows = _aligned(task, replay).select(chosen)
    both = extra("datasets", "trainers").concatenate_datasets([task, rows])
    mixed: Dataset = both.select(draws.beginning_of_permutation(len(both), len(both)))
    return mixed


def _aligned(task: Dataset, replay: Dataset) -> Dataset:
    """The replayed rows with the columns of the task that they have, in the task's types."""
    shared = [name for name in task.column_names if name in replay.column_names]
    missing = [name for name in _needed(task, replay) if name not in shared]
    if missing:
        raise InvalidRequest(
            f"the replay set has no column {missing[0]!r}, so its rows would hold nothing; the task has "
            f"{', '.join(task.column_names)} and the replay set {', '.join(replay.column_names)}: make it with "
            f"replay_dataset(task_id, like=task)"
        )
    rows = replay.select_columns(shared)
    features = extra("datasets", "trainers").Features({name: task.features[name] for name in shared})
    if rows.features == features:
        return rows
    try:
        return _retyped(rows, features)
    except (TypeError, ValueError) as error:
        raise InvalidRequest(
            f"the replay set's columns have other types than the task's ({error}); make it with "
            f"replay_dataset(task_id, like=task)"
        ) from error


def _needed(task: Dataset, replay: Dataset) -> tuple[str, ...]:
    """Columns without which a replayed row says nothing to the trainer."""
    if TOKENISED in task.column_names:
        return tuple(name for name in task.column_names if name in (TOKENISED, "labels"))
    return layout.columns if (layout := _known_layout(task)) is not None else tuple(task.column_names)


def _known_layout(task: Dataset) -> TaskLayout | None:
    try:
        return task_layout(task)
    except (BadDataset, InvalidRequest):
        return None


def _retyped(rows: Dataset, features: Any) -> Dataset:
    retyped: Dataset = extra("datasets", "trainers").Dataset.from_list(rows.to_list(), features=features)
    return retyped
