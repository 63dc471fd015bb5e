"""Complete a task's row when it is read: a pure function of matrix version, row version and model version."""

from __future__ import annotations

from collections import Counter

import numpy as np

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION, Interval, RowForecast
from forgetcast.completion.forecast_warnings import forecast_warnings
from forgetcast.completion.types import Indices
from forgetcast.completion.uncertainty.novelty import FEWEST_PROBES
from forgetcast.completion.uncertainty.probe_mean import FEWEST_IN_PART
from forgetcast.errors import InvalidRequest, NotMeasured
from service import metrics
from service.operations.belief import believable
from service.operations.fits import read_fit
from service.operations.forecast_cache import FITS, LEADING, Completed, ForecastCache
from service.storage import tasks as storage
from service.storage.database import Database, Session
from service.storage.jobs import newest_job
from service.storage.matrices import get_matrix, newest_fits
from service.storage.tables import Fit, Matrix, Task

DEFAULT_LEVEL = 0.9
OTHER_RECIPE = "other_recipe: the probes were measured under another recipe than the matrix"


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
    fit = read_fit(session, matrix, as_of)
    key = (task.id, fit.matrix_version, task.row_version, fit.tested, level)
    return cache.row(key, lambda: _completed(session, cache, task, matrix, fit, level))


def warm(database: Database, cache: ForecastCache) -> None:
    """Load what the first reads will need: the newest fits and the columns of their sets."""
    with database.read() as session:
        for matrix, fit in newest_fits(session, MODEL_VERSION, FITS):
            cache.fitted(session, fit.arrays_sha256)
            cache.columns(session, matrix.upstream_set_id)


def summary(completed: Completed, *, above: float | None = None) -> schemas.Forecast:
    """The forecast in short: the row's mean, each domain's, and what they rest on.

    Parameters
    ----------
    above : limit, nats per token; how many examples are forgotten by more is said too

    Raises
    ------
    OutOfRange : the limit is not a finite number
    """
    row = completed.row
    of_all = None if completed.measurable is None else np.flatnonzero(completed.measurable)
    averages, mean_interval = row.summary(completed.groups), _average(row.mean_interval(of_all))
    row_mean = row.row_mean if of_all is None else row.mean_of(of_all)
    told = _told_by_probes(completed)
    domains = [
        schemas.DomainAverage(
            domain=name,
            n_examples=int(positions.size),
            n_measured=int(row.measured[positions].sum()),
            mean_interval=_average(row.mean_interval(positions)) if name in told else None,
            share_above=_share_above(row, above, positions) if name in told else None,
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
        row_mean=schemas.Average(**row_mean._asdict()),
        mean_interval=mean_interval,
        random_mean=mean_interval,
        share_above=_share_above(row, above, of_all),
        domains=sorted(domains, key=lambda domain: -domain.mean),
        same_recipe=completed.same_recipe,
        unlike_known=row.unlike_known,
        unlike_known_from=FEWEST_PROBES,
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
    row, among = completed.row, completed.measurable
    if domain is not None:
        if domain not in completed.groups:
            raise InvalidRequest(f"the upstream set has no domain {domain!r}; it has {', '.join(completed.groups)}")
        among = np.zeros(row.mean.size, np.bool_)
        among[completed.groups[domain]] = True
    if at_least is not None:
        among = (row.mean >= at_least) & (True if among is None else among)
    leading = k <= LEADING and domain is None and at_least is None
    top = completed.leading[:k] if leading else row.top(k, among)
    data = [
        schemas.ForgottenExample(
            example_id=completed.columns.example_ids[position],
            domain=completed.columns.domains[position],
            forgetting=float(row.mean[position]),
            low=float(row.low[position]),
            high=float(row.high[position]),
            place=place,
            measured=bool(row.measured[position]),
            calibrated=bool(row.calibrated[position]),
            promised=bool(row.calibrated[position]),
        )
        for place, position in enumerate(top.tolist(), 1)
    ]
    return schemas.Forgotten(
        **completed.versions.model_dump(),
        task=completed.task_id,
        matrix=completed.matrix_id,
        level=row.level,
        data=data,
    )


def _completed(session: Session, cache: ForecastCache, task: Task, matrix: Matrix, fit: Fit, level: float) -> Completed:
    fitted = cache.fitted(session, fit.arrays_sha256)
    unmeasurable = np.frombuffer(fit.unmeasurable or b"", "<i4").astype(np.intp)
    cells = believable(storage.read_cells(session, task.id, task.row_version, matrix.recipe), task.id)
    cells = cells.at(~np.isin(cells.positions, unmeasurable))
    with metrics.COMPLETION_SECONDS.labels(fitted.method.name).time():
        row = fitted.forecast(
            cells.positions, cells.forgetting, level=level, random_probes=cells.positions[cells.at_random]
        )
    return Completed(
        task_id=task.id,
        matrix_id=matrix.id,
        upstream_set_id=matrix.upstream_set_id,
        n_task_examples=task.n_examples,
        versions=schemas.Versions(
            matrix_version=fit.matrix_version, row_version=task.row_version, model_version=MODEL_VERSION
        ),
        method=fitted.method.name,
        n_tasks=fitted.n_tasks,
        tested=fit.tested,
        quality=fit.quality,
        same_recipe=cells.same_recipe,
        columns=cache.columns(session, matrix.upstream_set_id),
        row=row,
        unmeasurable=unmeasurable,
    )


def _warnings(completed: Completed) -> list[str]:
    """What matters most first: under another recipe a task may seem unlike the known ones for that alone."""
    warnings = [] if completed.same_recipe else [OTHER_RECIPE]
    warnings += forecast_warnings(completed.row, completed.n_tasks)
    if completed.unmeasurable.size:
        first = completed.columns.example_ids[completed.unmeasurable[0]]
        warnings.append(
            f"unmeasurable: {completed.unmeasurable.size} upstream examples have nothing to score under the matrix's "
            f"setting and no forecast, such as {first!r}"
        )
    return warnings


def _told_by_probes(completed: Completed) -> set[str]:
    """Domains with random probes enough; the others need not be looked at, and most forecasts have no such domain."""
    probed = completed.row.probed
    drawn = Counter(completed.columns.domains[place] for place in probed.positions[probed.at_random].tolist())
    return {name for name, n_probes in drawn.items() if n_probes >= FEWEST_IN_PART}


def _average(interval: Interval | None) -> schemas.Average | None:
    return None if interval is None else schemas.Average(**interval._asdict())


def _share_above(row: RowForecast, limit: float | None, among: Indices | None = None) -> schemas.ShareAbove | None:
    """Of the row or of some positions; None where nobody asks, or where too few random probes can say."""
    found = None if limit is None else row.share_above(limit, among)
    if limit is None or found is None:
        return None
    size = row.mean.size if among is None else among.size
    n, n_low, n_high = (round(share * size) for share in found)
    return schemas.ShareAbove(limit=limit, n=n, n_low=n_low, n_high=n_high, **found._asdict())


def _not_measured(session: Session, task: Task) -> NotMeasured:
    job = newest_job(session, task.id)
    if job is None:
        return NotMeasured(
            f"nothing has been measured for the task {task.id!r}; POST its measurements or order a job",
            location=f"/v1/tasks/{task.id}",
        )
    ended = schemas.JobState(job.state).terminal
    next_step = f"the job {job.id} ended as {job.state}; order another" if ended else f"follow the job {job.id}"
    return NotMeasured(
        f"nothing has been measured for the task {task.id!r} yet; {next_step}", location=f"/v1/jobs/{job.id}"
    )
