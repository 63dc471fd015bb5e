"""What a worker needs for a job, and what it brings back."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from forgetcast import schemas
from forgetcast.errors import TextsMissing
from forgetcast.marks import NOTHING_TO_SCORE
from service import metrics
from service.operations.base_values import Values, base_values, hold_for_base_values, keep_base_values
from service.operations.datasets import read_dataset
from service.storage import jobs as job_storage
from service.storage import tasks as storage
from service.storage.attempts import ChildEnd
from service.storage.database import Session, after_commit
from service.storage.matrices import get_matrix, supersede_row
from service.storage.tables import Job, Matrix, Task, UpstreamSet
from service.storage.upstream_sets import read_contents

N_CONTROL = 3


class ControlCell(NamedTuple):
    """A cell that a worker has measured before: its example, log-perplexity before fine-tuning, and forgetting."""

    example: dict[str, Any]
    before: float
    forgetting: float


@dataclass(frozen=True)
class JobMaterial:
    """One job in full: data, upstream examples to measure (S), each with its id, and their base values (S,): NaN where
    unknown, NOTHING_TO_SCORE where there is none."""

    model: str
    model_revision: str
    recipe: dict[str, Any]
    setting: dict[str, Any]
    seed: int
    dataset: bytes
    dataset_sha256: str
    upstream: list[tuple[str, dict[str, Any]]]
    before: Values
    control: tuple[ControlCell, ...] = ()


def read_job_material(session: Session, job_id: str) -> JobMaterial:
    """Everything an attempt needs. Raises JobNotFound, DatasetNotFound, TextsMissing."""
    job = job_storage.get_job(session, job_id)
    task = storage.get_task(session, job.task_id)
    matrix = get_matrix(session, task.matrix_id)
    positions = _positions(session, job, matrix)
    contents = list(
        read_contents(session, matrix.upstream_set_id, None if job.positions is None else positions.tolist())
    )
    upstream = [(name, content) for name, content in contents if content is not None]
    if len(upstream) < len(contents):
        absent = next(name for name, content in contents if content is None)
        raise TextsMissing(f"the upstream set {matrix.upstream_set_id!r} has examples without text, such as {absent!r}")
    assert task.dataset_sha256 is not None  # no job is ordered without one
    return JobMaterial(
        model=matrix.model,
        model_revision=matrix.model_revision,
        recipe=matrix.recipe,
        setting=matrix.setting,
        seed=task.seed,
        dataset=read_dataset(session, task.dataset_sha256),
        dataset_sha256=task.dataset_sha256,
        upstream=upstream,
        before=base_values(session, matrix)[positions],
        control=_control(session, task, matrix),
    )


def _control(session: Session, task: Task, matrix: Matrix) -> tuple[ControlCell, ...]:
    """A few cells of the task that workers have measured, spread over what they have measured."""
    cells = storage.cells_of_workers(session, task)
    base = base_values(session, matrix)
    known = np.flatnonzero(np.isfinite(base[cells.positions]))
    chosen = known[np.unique(np.linspace(0, len(known) - 1, N_CONTROL).round().astype(int))] if len(known) else known
    positions = cells.positions[chosen]
    contents = read_contents(session, matrix.upstream_set_id, positions.tolist())
    return tuple(
        ControlCell(content, float(base[position]), float(cells.forgetting[place]))
        for (_id, content), position, place in zip(contents, positions, chosen, strict=True)
        if content is not None
    )


class Measured(Protocol):
    """A finished attempt: log-perplexity before and after of the examples that were asked for, and its report."""

    @property
    def before(self) -> Values: ...

    @property
    def after(self) -> Values: ...

    @property
    def report(self) -> dict[str, Any]: ...


def store_result(session: Session, job_id: str, fence: int, result: Measured, child: ChildEnd) -> bool:
    """End a job with its measurement, both or neither. False: the lease is lost or a cancel was asked."""
    hold_for_end(session, job_id, result.before)
    if not job_storage.finish(session, job_id, fence, result.report, child=child):
        return False
    record_measurement(session, job_id, result.before, result.after, result.report)
    return True


def hold_for_end(session: Session, job_id: str, before: Values) -> None:
    """Lock what the end of a job changes, before the job itself."""
    job = job_storage.get_job(session, job_id)
    matrix = get_matrix(session, storage.get_task(session, job.task_id).matrix_id)
    hold_for_base_values(session, matrix, _positions(session, job, matrix), before)
    if job.measure == schemas.Measure.FULL:
        get_matrix(session, matrix.id, lock=True)
    storage.get_task(session, job.task_id, lock=True)


def record_measurement(session: Session, job_id: str, before: Values, after: Values, report: dict[str, Any]) -> None:
    """Write a finished job's cells; called in the transaction that ends the job, after `hold_for_end`.

    A full measurement becomes a known row of the matrix, unless the task repeats another one. Base values that were
    measured for the first time are kept for later jobs, and with them which examples have nothing to score: these get
    no cell, here and ever. Tasks that share the job get the same cells.
    """
    job = job_storage.get_job(session, job_id)
    task = storage.get_task(session, job.task_id)
    matrix = get_matrix(session, task.matrix_id)
    positions = _positions(session, job, matrix)
    scored = before != NOTHING_TO_SCORE
    drawn = None if job.random_positions is None else np.frombuffer(job.random_positions, "<i4")
    sharing = [storage.get_task(session, task_id, lock=True) for task_id in job_storage.sharing_tasks(session, job_id)]
    for measured in (task, *sharing):
        storage.add_measurement(
            session,
            measured,
            None if job.positions is None and scored.all() else positions[scored],
            after[scored].astype(np.float64) - before[scored].astype(np.float64),
            random_positions=None if drawn is None else np.intersect1d(drawn, positions[scored]),
            model_revision=matrix.model_revision,
            recipe=matrix.recipe,
            setting=matrix.setting,
            seed=task.seed,
            source=str(report.get("device", "")),
            job_id=job.id,
        )
    keep_base_values(session, matrix, positions, before)
    if job.measure == schemas.Measure.FULL and task.repeat_of is None:
        task.known = True
        supersede_row(session, matrix, task.id, task.row_version)
    session.flush()
    seconds = report.get("seconds") or {}
    after_commit(session, partial(metrics.observe_measurement, job.measure, len(positions), seconds))


def record_base_values(session: Session, job_id: str, before: Values) -> None:
    """Keep what a job has measured before fine-tuning: it holds for every job of the matrix, however this one ends."""
    job = job_storage.get_job(session, job_id)
    matrix = get_matrix(session, storage.get_task(session, job.task_id).matrix_id)
    positions = _positions(session, job, matrix)
    hold_for_base_values(session, matrix, positions, before)
    keep_base_values(session, matrix, positions, before)


def _positions(session: Session, job: Job, matrix: Matrix) -> NDArray[np.intp]:
    if job.positions is not None:
        return np.frombuffer(job.positions, "<i4").astype(np.intp)
    return np.arange(session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples or 0)
