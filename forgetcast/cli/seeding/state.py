"""Where a matrix stands: which candidates are known rows, are being measured, have failed, or are still to come."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from forgetcast.cli.seeding.pool import Candidate

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion.types import Floats
    from forgetcast.schemas import Task


@dataclass(frozen=True)
class Standing:
    """Places of the candidates; `task_of` their tasks in the matrix, where there are some."""

    known: list[int]
    active: list[int]
    failed: list[int]
    open: list[int]
    task_of: dict[int, Task]


def standing(client: ForgetcastClient, matrix_id: str, candidates: Sequence[Candidate]) -> tuple[Standing, list[Task]]:
    """What the service says of the candidates, and all tasks of the matrix. Tasks are told by their data."""
    tasks = [task for task in client.tasks.list(matrix=matrix_id) if task.repeat_of is None]
    by_data: dict[str, list[Task]] = {}
    for task in tasks:
        if task.dataset is not None:
            by_data.setdefault(task.dataset, []).append(task)
    known: list[int] = []
    active: list[int] = []
    failed: list[int] = []
    open_: list[int] = []
    task_of: dict[int, Task] = {}
    for place, one in enumerate(candidates):
        same = by_data.get(one.sha256, [])
        row = next((task for task in same if task.known), None)
        ordered = next((task for task in same if task.measure == "full" and task.job is not None), None)
        if (found := row or ordered) is not None:
            task_of[place] = found
        if row is not None:
            known.append(place)
        elif ordered is not None and ordered.job is not None:
            (failed if client.jobs.get(ordered.job).terminal else active).append(place)
        else:
            open_.append(place)
    return Standing(known, active, failed, open_, task_of), tasks


def order_of(
    client: ForgetcastClient, matrix_id: str, candidates: Sequence[Candidate], now: Standing, likeness: Floats
) -> list[int]:
    """Candidates that are still to come, the most telling first."""
    from forgetcast.completion.selection.seeding import seed_order

    known = now.known
    rows = [client.matrices.row(matrix_id, now.task_of[place].id) for place in known]
    measured = np.stack(rows).astype(np.float64) if rows else None
    order = seed_order(likeness, measured, [*known, *now.active])
    return [place for place in order if place in set(now.open)]


def likeness_of(candidates: Sequence[Candidate]) -> Floats:
    """How alike the candidates' data are: in form, and in words. (2, T, T)

    Over the bundled rows the correlation of two tasks' rows goes with sameness of form at 0.47, with likeness of words
    at 0.07, with sameness of family at 0.17.
    """
    from forgetcast.completion.selection.likeness import family_likeness, text_likeness

    by_form = family_likeness([one.form for one in candidates])
    return np.stack([by_form, text_likeness([one.texts for one in candidates])])
