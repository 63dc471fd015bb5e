"""Complete a task's row when it is read: a pure function of matrix version, row version and model version."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from threading import Lock
from typing import Any

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION, Fitted, RowForecast
from forgetcast.errors import InvalidRequest, NotMeasured
from service import metrics
from service.operations import tasks
from service.operations.fits import load_fitted, read_fit
from service.storage import tasks as storage
from service.storage.database import Session
from service.storage.matrices import get_matrix
from service.storage.tables import Matrix, Task
from service.storage.upstream_sets import UpstreamColumns, read_columns

FEW_ROWS = 8
DEFAULT_LEVEL = 0.9


@dataclass(frozen=True)
class Completed:
    """A completed row with what it rests on. Arrays of `row` are (N,) in set order."""

    task_id: str
    matrix_id: str
    upstream_set_id: str
    n_task_examples: int | None
    versions: schemas.Versions
    method: str
    n_tasks: int
    quality: dict[str, Any] | None
    same_recipe: bool
    columns: UpstreamColumns
    row: RowForecast

    @property
    def etag(self) -> str:
        versions = self.versions
        return f'"{versions.matrix_version}-{versions.row_version}-{versions.model_version}"'

    @cached_property
    def groups(self) -> dict[str, NDArray[np.intp]]:
        return self.columns.groups()


class ForecastCache:
    """Fits, columns and completed rows in memory. Keys carry the versions, so nothing in it is ever out of date."""

    def __init__(self, n_fits: int = 8, n_sets: int = 8, n_rows: int = 256) -> None:
        self._lock = Lock()
        self._fits: LRUCache[tuple[str, int], Fitted] = LRUCache(n_fits)
        self._columns: LRUCache[str, UpstreamColumns] = LRUCache(n_sets)
        self._rows: LRUCache[tuple[str, int, int, float], Completed] = LRUCache(n_rows)

    def fitted(self, session: Session, matrix: Matrix, as_of: int | None) -> tuple[Fitted, int, dict[str, Any] | None]:
        """The fit a read rests on, its matrix version, and its back-tested quality."""
        found = read_fit(session, matrix, as_of)
        key = (matrix.id, found.matrix_version)
        with self._lock:
            fitted = self._fits.get(key)
        if fitted is None:
            fitted = load_fitted(session, found)
            with self._lock:
                self._fits[key] = fitted
        return fitted, found.matrix_version, found.quality

    def columns(self, session: Session, set_id: str) -> UpstreamColumns:
        with self._lock:
            columns = self._columns.get(set_id)
        if columns is None:
            columns = read_columns(session, set_id)
            with self._lock:
                self._columns[set_id] = columns
        return columns

    def row(self, key: tuple[str, int, int, float]) -> Completed | None:
        with self._lock:
            return self._rows.get(key)

    def keep(self, key: tuple[str, int, int, float], completed: Completed) -> None:
        with self._lock:
            self._rows[key] = completed


def complete(
    session: Session,
    cache: ForecastCache,
    task_id: str,
    *,
    level: float = DEFAULT_LEVEL,
    as_of: int | None = None,
    allow_unmeasured: bool = False,
) -> Completed:
    """The completed row of a task.

    Raises
    ------
    TaskNotFound, MatrixEmpty, FitPending
    NotMeasured : no cell is measured yet, and `allow_unmeasured` is not set; its location is the job to wait for
    """
    task = storage.get_task(session, task_id)
    if task.row_version == 0 and not allow_unmeasured:
        raise _not_measured(session, task)
    matrix = get_matrix(session, task.matrix_id)
    fitted, matrix_version, quality = cache.fitted(session, matrix, as_of)
    key = (task.id, matrix_version, task.row_version, level)
    completed = cache.row(key)
    if completed is None:
        cells = storage.read_cells(session, task.id, task.row_version, matrix.recipe)
        with metrics.COMPLETION_SECONDS.labels(fitted.method).time():
            row = fitted.forecast(
                cells.positions, cells.forgetting, level=level, random_probes=cells.positions[cells.at_random]
            )
        completed = Completed(
            task_id=task.id,
            matrix_id=matrix.id,
            upstream_set_id=matrix.upstream_set_id,
            n_task_examples=task.n_examples,
            versions=schemas.Versions(
                matrix_version=matrix_version, row_version=task.row_version, model_version=MODEL_VERSION
            ),
            method=fitted.method,
            n_tasks=fitted.n_tasks,
            quality=quality,
            same_recipe=cells.same_recipe,
            columns=cache.columns(session, matrix.upstream_set_id),
            row=row,
        )
        cache.keep(key, completed)
    return completed


def summary(completed: Completed) -> schemas.Forecast:
    """The forecast in short: the row's mean, each domain's, and what they rest on."""
    row = completed.row
    averages = row.summary(completed.groups)
    domains = [
        schemas.DomainAverage(
            domain=name,
            n_examples=int(positions.size),
            n_measured=int(row.measured[positions].sum()),
            **averages[name]._asdict(),
        )
        for name, positions in completed.groups.items()
    ]
    return schemas.Forecast(
        **completed.versions.model_dump(),
        task=completed.task_id,
        matrix=completed.matrix_id,
        method=completed.method,
        level=row.level,
        n_tasks=completed.n_tasks,
        n_examples=int(row.mean.size),
        n_measured=int(row.measured.sum()),
        row_mean=schemas.Average(**row.row_mean._asdict()),
        domains=sorted(domains, key=lambda domain: -domain.mean),
        same_recipe=completed.same_recipe,
        unlike_known=row.unlike_known,
        warnings=_warnings(completed),
        quality=None if completed.quality is None else schemas.Quality.model_validate(completed.quality),
    )


def forgotten(
    completed: Completed, k: int, *, domain: str | None = None, at_least: float | None = None
) -> schemas.Forgotten:
    """The k most forgotten examples, of one domain or with at least so much forgetting if asked.

    Raises
    ------
    InvalidRequest : no example has this domain
    """
    row, among = completed.row, None
    if domain is not None:
        if domain not in completed.groups:
            raise InvalidRequest(f"the upstream set has no domain {domain!r}; it has {', '.join(completed.groups)}")
        among = np.zeros(row.mean.size, np.bool_)
        among[completed.groups[domain]] = True
    if at_least is not None:
        among = (row.mean >= at_least) & (True if among is None else among)
    data = [
        schemas.ForgottenExample(
            example_id=completed.columns.example_ids[position],
            domain=completed.columns.domains[position],
            forgetting=float(row.mean[position]),
            low=float(row.low[position]),
            high=float(row.high[position]),
            place=place,
            measured=bool(row.measured[position]),
            promised=bool(row.promised[position]),
        )
        for place, position in enumerate(row.top(k, among).tolist(), 1)
    ]
    return schemas.Forgotten(
        **completed.versions.model_dump(),
        task=completed.task_id,
        matrix=completed.matrix_id,
        level=row.level,
        data=data,
    )


def _warnings(completed: Completed) -> list[str]:
    warnings = []
    if completed.n_tasks < FEW_ROWS:
        warnings.append(f"few_rows: the matrix has {completed.n_tasks} known rows; intervals are wide below {FEW_ROWS}")
    if completed.row.unlike_known:
        warnings.append("unlike_known: this task forgets unlike all known ones; only what was measured is promised")
    if not completed.same_recipe:
        warnings.append("other_recipe: the probes were measured under another recipe than the matrix")
    if not completed.row.measured.any():
        warnings.append("unmeasured: nothing was measured for this task; this is what tasks forget on average")
    return warnings


def _not_measured(session: Session, task: Task) -> NotMeasured:
    job_id = tasks.view(session, task).job
    if job_id is None:
        return NotMeasured(
            f"nothing has been measured for the task {task.id!r}; POST its measurements or order a job",
            location=f"/v1/tasks/{task.id}",
        )
    return NotMeasured(
        f"nothing has been measured for the task {task.id!r} yet; follow the job {job_id}",
        location=f"/v1/jobs/{job_id}",
    )
