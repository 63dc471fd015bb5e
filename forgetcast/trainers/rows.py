"""Replayed examples as rows of a Hugging Face Dataset, with the very types that the task's own rows have.

`concatenate_datasets` compares lists of structs with `!=`: a task whose turns have a further key (`name`, `tool_calls`)
cannot be joined with turns of role and content. Rows that are made with the task's own features can.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetcast.client.connection import is_parquet
from forgetcast.client.extras import extra
from forgetcast.errors import BadDataset, InvalidRequest
from forgetcast.replay_formats import Example
from forgetcast.trainers.task_layout import TaskLayout, layout_like

if TYPE_CHECKING:
    from datasets import Dataset

ROW = "forgetcast_row"  # column of row numbers, by which rows are known that a trainer leaves out
Like = Any  # a Dataset, or the path of JSON Lines or Parquet


def rows_like(examples: Iterable[Example], task: Dataset) -> Dataset:
    """The content of the examples, one a row, in the layout and with the types of the task's rows.

    Raises
    ------
    BadDataset : the task's rows are of no layout that is known
    InvalidRequest : its layout cannot hold these examples
    TextsMissing
    """
    layout = task_layout(task)
    return rows_in(examples, layout, task)


def rows_in(examples: Iterable[Example], layout: TaskLayout, task: Dataset | None = None) -> Dataset:
    """The content of the examples in a layout; with the types of the task's columns where there is a task."""
    datasets = extra("datasets", "trainers")
    records = [layout.record(example) for example in examples]
    if task is None:
        made: Dataset = datasets.Dataset.from_list(records)
        return made
    features = datasets.Features({name: task.features[name] for name in layout.columns})
    return _with_types(records, features)


def with_columns(dataset: Dataset, columns: dict[str, Sequence[Any]]) -> Dataset:
    for name, values in columns.items():
        dataset = dataset.add_column(name, list(values))
    return dataset


def task_layout(task: Dataset) -> TaskLayout:
    """Raises BadDataset, InvalidRequest."""
    if len(task) == 0:
        raise BadDataset("the task's data set is empty, so nobody can say how its rows look")
    return layout_like(task[0])


def task_rows(like: Like) -> Dataset:
    """The task's rows: a Dataset as it is, a file as `load_dataset` reads it for a trainer.

    Raises
    ------
    BadDataset : the file cannot be read
    InvalidRequest : rows that come one after the other, of which nobody knows how many there are
    """
    datasets = extra("datasets", "trainers")
    if isinstance(like, datasets.Dataset):
        return like
    if isinstance(like, datasets.IterableDataset):
        raise InvalidRequest("the task is an IterableDataset, whose rows are not counted; load it with streaming=False")
    if not isinstance(like, str | Path):
        raise InvalidRequest(f"the task must be a datasets.Dataset or the path of a file, not {type(like).__name__}")
    path = Path(like)
    try:
        kind = "parquet" if is_parquet(path) else "json"
        with tempfile.TemporaryDirectory(prefix="forgetcast-") as scratch:
            loaded = datasets.load_dataset(
                kind, data_files=str(path), split="train", cache_dir=scratch, keep_in_memory=True
            )
    except OSError as error:
        raise BadDataset(f"{path} cannot be read: {error}") from error
    except (ValueError, datasets.exceptions.DatasetGenerationError) as error:
        raise BadDataset(f"{path} cannot be read as a data set of a trainer: {error}") from error
    found: Dataset = loaded
    return found


def _with_types(records: list[dict[str, Any]], features: Any) -> Dataset:
    datasets = extra("datasets", "trainers")
    try:
        made: Dataset = datasets.Dataset.from_list(records, features=features)
    except (TypeError, ValueError) as error:  # pyarrow's errors are kinds of these
        raise InvalidRequest(f"the replayed examples do not fit the types of the task's columns: {error}") from error
    return made
