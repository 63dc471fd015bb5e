"""Tasks and what was measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from forgetcast.errors import TaskNotFound
from service.storage.insert import insert_absent
from service.storage.jobs import newer, newest_jobs
from service.storage.locks import locked
from service.storage.tables import BaseValues, Measurement, Task

Positions = NDArray[np.intp]


@dataclass(frozen=True)
class MeasuredCells:
    """The measured cells of a task at one row version: the newest measurement of a cell counts.

    positions (S,) ints ascending; forgetting (S,) float64, nats per token; at_random (S,) bool, drawn at random
    """

    positions: Positions
    forgetting: NDArray[np.float64]
    at_random: NDArray[np.bool_]
    same_recipe: bool

    def at(self, kept: NDArray[np.bool_]) -> MeasuredCells:
        """Those of them that are kept, (S,)."""
        if kept.all():
            return self
        return MeasuredCells(self.positions[kept], self.forgetting[kept], self.at_random[kept], self.same_recipe)


def get_task(session: Session, task_id: str, *, lock: bool = False) -> Task:
    """The task with this id. Raises TaskNotFound."""
    found = find_task(session, task_id, lock=lock)
    if found is None:
        raise TaskNotFound(f"no task has the id {task_id!r}")
    return found


def find_task(session: Session, task_id: str, *, lock: bool = False) -> Task | None:
    return locked(session, Task, task_id) if lock else session.get(Task, task_id)


def list_tasks(session: Session, matrix_id: str | None, after: str, limit: int) -> list[tuple[Task, str | None]]:
    """Up to `limit` tasks beyond the id `after`, with the newest job of each, in one statement."""
    tasks = sa.select(Task, *newest_jobs(Task.id)).where(Task.id > after).order_by(Task.id).limit(limit)
    if matrix_id is not None:
        tasks = tasks.where(Task.matrix_id == matrix_id)
    return [(task, newer(own, shared)) for task, own, shared in session.execute(tasks)]


def same_order(session: Session, matrix_id: str, natural_key: str, *, measured: bool = False) -> Task | None:
    """The oldest task of this matrix that was ordered the same: same data, measure, design, size and seeds.

    `measured`: the oldest that has cells.
    """
    same = sa.select(Task).where(Task.matrix_id == matrix_id, Task.natural_key == natural_key)
    same = same.where(Task.row_version > 0) if measured else same
    return session.scalar(same.order_by(Task.created_at, Task.id).limit(1))


def add_measurement(
    session: Session,
    task: Task,
    positions: Positions | None,
    forgetting: NDArray[np.floating[Any]],
    random_positions: Positions | None = None,
    **provenance: Any,
) -> None:
    """Add cells to a task and raise its row version; the caller holds the task's lock.

    Parameters
    ----------
    positions : (S,) positions in the upstream set; None for all N in order
    forgetting : as many values, nats per token; NaN where an imported row has no value
    random_positions : those of the positions that were drawn at random; None for none
    provenance : model_revision, recipe, setting, seed, source, job_id
    """
    observed = np.isfinite(forgetting)
    if positions is None and not observed.all():
        positions = np.flatnonzero(observed)
        forgetting = forgetting[observed]
    task.row_version += 1
    session.add(
        Measurement(
            task_id=task.id,
            row_version=task.row_version,
            positions=None if positions is None else positions.astype("<i4").tobytes(),
            forgetting=forgetting.astype("<f4").tobytes(),
            random_positions=None if random_positions is None else random_positions.astype("<i4").tobytes(),
            **provenance,
        )
    )
    session.flush()
    task.n_measured = int(read_cells(session, task.id, task.row_version, None).positions.size)


def copy_measurements(session: Session, source: Task, target: Task) -> None:
    """Give a task the cells that another one, ordered the same, already has."""
    for found in session.scalars(_measurements(source.id, source.row_version)).all():
        values = {column.key: getattr(found, column.key) for column in sa.inspect(Measurement).column_attrs}
        session.add(Measurement(**{**values, "task_id": target.id}))
    target.row_version, target.n_measured = source.row_version, source.n_measured
    session.flush()


def read_cells(session: Session, task_id: str, row_version: int, recipe: dict[str, Any] | None) -> MeasuredCells:
    """The measured cells at this row version; `same_recipe` says whether all came from `recipe`."""
    return _newest_cells(session.scalars(_measurements(task_id, row_version)).all(), recipe)


def weights_measured(session: Session, task_id: str, row_version: int) -> set[str | None]:
    """sha256 of the weights that a row's cells were measured on; None for a run of which nobody said it."""
    found = sa.select(Measurement.weights_sha256).where(
        Measurement.task_id == task_id, Measurement.row_version <= row_version
    )
    return set(session.scalars(found.distinct()))


def cells_of_workers(session: Session, task: Task) -> MeasuredCells:
    """The cells that workers of this deployment have measured, under the matrix's own recipe and the task's seed."""
    by_workers = _measurements(task.id, task.row_version).where(Measurement.job_id.is_not(None))
    return _newest_cells(session.scalars(by_workers).all(), None)


def _newest_cells(found: Sequence[Measurement], recipe: dict[str, Any] | None) -> MeasuredCells:
    values = [np.frombuffer(one.forgetting, "<f4").astype(np.float64) for one in found]
    positions = [
        np.arange(cells.size) if one.positions is None else np.frombuffer(one.positions, "<i4")
        for one, cells in zip(found, values, strict=True)
    ]
    if not found:
        return MeasuredCells(np.zeros(0, np.intp), np.zeros(0), np.zeros(0, np.bool_), True)
    if len(found) == 1 and found[0].positions is None and found[0].random_positions is None:  # an imported row
        drawn_none = np.zeros(values[0].size, np.bool_)
        return MeasuredCells(positions[0], values[0], drawn_none, recipe is None or found[0].recipe == recipe)
    drawn = [
        np.isin(at, np.frombuffer(one.random_positions or b"", "<i4")) for one, at in zip(found, positions, strict=True)
    ]
    # Newest first: the first place at which a position is met is its newest measurement.
    newest, place = np.unique(np.concatenate(positions[::-1]), return_index=True)
    return MeasuredCells(
        newest.astype(np.intp),
        np.concatenate(values[::-1])[place],
        np.concatenate(drawn[::-1])[place],
        all(recipe is None or one.recipe == recipe for one in found),
    )


def read_base_values(
    session: Session, set_id: str, model_revision: str, setting_sha256: str, n_examples: int
) -> NDArray[np.float32]:
    """Log-perplexity before fine-tuning, (N,) nats per token: NaN where it was not measured yet, NOTHING_TO_SCORE where
    it never can be."""
    found = find_base_values(session, set_id, model_revision, setting_sha256)
    return np.full(n_examples, np.nan, np.float32) if found is None else found


def find_base_values(
    session: Session, set_id: str, model_revision: str, setting_sha256: str
) -> NDArray[np.float32] | None:
    """The same; None while nothing was measured at all."""
    found = session.get(BaseValues, (set_id, model_revision, setting_sha256))
    return None if found is None else np.frombuffer(found.log_perplexity, "<f4").astype(np.float32)


def add_base_values(
    session: Session,
    set_id: str,
    model_revision: str,
    setting_sha256: str,
    n_examples: int,
    positions: Positions,
    values: NDArray[np.float32],
) -> None:
    """Keep the base values, (S,) nats per token at `positions`, that were not known yet; known ones stay."""
    key = {"upstream_set_id": set_id, "model_revision": model_revision, "setting_sha256": setting_sha256}
    nothing = np.full(n_examples, np.nan, "<f4").tobytes()
    insert_absent(session, BaseValues, **key, log_perplexity=nothing)
    # Locked: jobs that end at the same moment would each write back a row without the other's values.
    row = locked(session, BaseValues, tuple(key.values()))
    assert row is not None
    kept = np.frombuffer(row.log_perplexity, "<f4").copy()
    kept[positions] = np.where(np.isnan(kept[positions]), values, kept[positions])
    row.log_perplexity = kept.astype("<f4").tobytes()


def _measurements(task_id: str, row_version: int) -> sa.Select[Measurement]:
    found = sa.select(Measurement).where(Measurement.task_id == task_id, Measurement.row_version <= row_version)
    return found.order_by(Measurement.row_version)
