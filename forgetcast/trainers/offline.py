"""Offline replay: the replay set of a task as a Dataset that is concatenated with the task's."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Unpack

from forgetcast.client import ForgetcastClient, ReplaySet
from forgetcast.client.replay_sets import ReplayQuery
from forgetcast.client.texts import Texts
from forgetcast.trainers.rows import Like, rows_in, rows_like, task_rows, with_columns
from forgetcast.trainers.task_layout import CHAT, TaskLayout, layout_named

if TYPE_CHECKING:
    from datasets import Dataset


def replay_dataset(
    task_id: str,
    *,
    client: ForgetcastClient | None = None,
    like: Like = None,
    layout: str | None = None,
    texts: Texts | None = None,
    **query: Unpack[ReplayQuery],
) -> Dataset:
    """The replay set of a task, one row an example, with its `id` and `weight` beside the content.

    Rows are explicit: no trainer reads a weight, and an example is in the set because it was drawn.

    Parameters
    ----------
    client : a `ForgetcastClient`; one is made of the environment by default
    like : the task's own Dataset, or its file: rows get its layout and the types of its columns
    layout : by default that in which the service read the task's data (messages where it has none); a name of
        `forgetcast dataset check`, such as "OpenAI chat" or "prompt and completion"
    texts : texts by id, for a service that has none, as `ReplaySet.hydrate` takes them
    query : size or ratio, strategy, seed, ... as `client.tasks.replay_set` takes them

    Raises
    ------
    InvalidRequest : the layout cannot hold an example
    TextsMissing : the service has no texts, and none are given
    ForgetcastError : as the client does
    """
    with ForgetcastClient() if client is None else nullcontext(client) as asked:
        drawn = asked.tasks.replay_set(task_id, **query)
        if texts is not None:
            drawn = drawn.hydrate(texts)
        if like is not None:
            return _with_ids(drawn, rows_like(drawn.data, task_rows(like)))
        wanted = own_layout(asked, task_id) if layout is None else layout_named(layout)
        return _with_ids(drawn, rows_in(drawn.data, wanted))


def own_layout(client: ForgetcastClient, task_id: str) -> TaskLayout:
    """The layout in which the service read the task's data; messages for a task without data. Raises InvalidRequest."""
    read_as = client.tasks.get(task_id).task.read_as
    return layout_named(CHAT if read_as is None else read_as.layout)


def _with_ids(drawn: ReplaySet, rows: Dataset) -> Dataset:
    return with_columns(rows, {"id": drawn.ids, "weight": [example.weight for example in drawn.data]})
