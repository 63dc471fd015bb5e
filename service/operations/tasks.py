"""Register tasks, order jobs for them, and read them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray

from forgetcast import schemas
from forgetcast.errors import FieldError, InvalidRequest, TaskExists, TextsMissing, TooManyJobs, UnknownReference
from service.operations.base_values import unmeasurable
from service.operations.canonical import sha256_of
from service.operations.matrices import unknown
from service.operations.probe_sets import DesignedProbes, draw
from service.operations.repeats import check_repeat
from service.storage import jobs as job_storage
from service.storage import tasks as storage
from service.storage.database import Session, moment, seconds_now
from service.storage.ids import new_id
from service.storage.locks import Name, hold
from service.storage.matrices import get_matrix
from service.storage.tables import Dataset, Job, Matrix, Task, UpstreamSet
from service.storage.upstream_sets import positions_of


@dataclass(frozen=True)
class Registered:
    """A task, whether it is new, and the job that was made for it, if one was."""

    task: schemas.Task
    is_new: bool
    job_id: str | None
    hardware: str


@dataclass(frozen=True)
class Submitter:
    """Who orders jobs, by the id of an API key, and how many of theirs may wait."""

    key_id: str | None = None
    max_queued_jobs: int | None = None


def register_task(
    session: Session,
    wanted: schemas.TaskCreate,
    submitter: Submitter = Submitter(),
    probes: DesignedProbes | None = None,
) -> Registered:
    """Register a task and order its measuring. What was ordered before is not measured again.

    What was ordered the same under another id shares its cells: those that are there, or those of the job at work.

    `probes` were designed ahead for this order; without them they are drawn at random.

    Raises
    ------
    UnknownReference : no such matrix, data set or task to repeat, with its pointer
    WrongRepeat : the task to repeat is this one, a repeat, or of another matrix
    TaskExists : the id is taken by a task with other content
    TextsMissing : a worker would have to measure examples without texts
    TooManyExamplesAsked : more probes than upstream examples
    TooManyJobs : as many jobs of this submitter are waiting as may wait
    InvalidRequest : the deadline has passed
    """
    matrix = session.get(Matrix, wanted.matrix)
    if matrix is None:
        raise unknown("/matrix", f"no matrix has the id {wanted.matrix!r}")
    dataset = None if wanted.dataset is None else session.get(Dataset, wanted.dataset)
    if wanted.dataset is not None and dataset is None:
        raise unknown("/dataset", f"no data set has the sha256 {wanted.dataset}; PUT it to /v1/datasets/… first")
    check_repeat(session, matrix.id, wanted.id, wanted.repeat_of)
    natural_key = _natural_key(wanted)
    hold(session, *_names(wanted, natural_key))
    named = storage.find_task(session, wanted.id) if wanted.id else None
    if named is not None:
        if named.matrix_id != matrix.id or named.natural_key != natural_key or _says_otherwise(wanted, named):
            raise TaskExists(
                f"the id {wanted.id!r} belongs to a task with other content; choose another id",
                location=f"/v1/tasks/{wanted.id}",
            )
        return Registered(view(session, named), False, None, "")
    same = storage.same_order(session, matrix.id, natural_key) if natural_key else None
    if same is not None and wanted.id is None:
        return Registered(view(session, same), False, None, "")
    task = _insert_task(session, wanted, natural_key, dataset, probes)
    if natural_key and same is not None and (shared := _share(session, task, natural_key)) is not None:
        _check_deadline(session, wanted.deadline)
        return shared
    if wanted.measure == "none":
        return Registered(view(session, task), True, None, "")
    order = schemas.JobCreate(
        measure=wanted.measure,
        design=wanted.design,
        size=wanted.size,
        probe_seed=wanted.probe_seed,
        priority=wanted.priority,
        hardware=wanted.hardware,
        deadline=wanted.deadline,
    )
    job = order_job(session, task, order, submitter, probes, is_new=True)
    task.design, task.designed_from = job.design, job.designed_from
    return Registered(_view(session, task, job.id), True, job.id, job.hardware)


def order_job(
    session: Session,
    task: Task,
    order: schemas.JobCreate,
    submitter: Submitter = Submitter(),
    probes: DesignedProbes | None = None,
    *,
    is_new: bool = False,
) -> Job:
    """Order one measuring of a task, of these probes if it measures probes; `is_new`: it can have no job yet.

    Raises
    ------
    JobActive, TextsMissing, TooManyExamplesAsked, TooManyJobs, UnknownReference
    InvalidRequest : the deadline has passed
    """
    matrix = get_matrix(session, task.matrix_id)
    upstream_set = session.get_one(UpstreamSet, matrix.upstream_set_id)
    if not upstream_set.has_texts:
        raise TextsMissing(
            f"the upstream set {upstream_set.id!r} has examples without text, so a worker cannot measure them; "
            f'register the task with measure "none" and post your own measurements'
        )
    _check_deadline(session, order.deadline)
    if task.dataset_sha256 is None:
        raise UnknownReference(
            "the service has no data of this task, so it cannot be fine-tuned; register one with a data set"
        )
    if order.measure == "probe" and probes is None:
        probes = draw(session, matrix, order.size, order.probe_seed)
    at_random = None if probes is None else probes.probes.positions[probes.probes.at_random]
    _check_queue(session, submitter)
    return job_storage.insert_job(
        session,
        task_id=task.id,
        measure=order.measure,
        positions=_packed(_named(session, matrix, order) if probes is None else probes.probes.positions),
        random_positions=_packed(at_random),
        design=None if probes is None else probes.design,
        designed_from=None if probes is None else probes.designed_from,
        hardware=order.hardware,
        priority=order.priority,
        deadline=_seconds(order.deadline),
        submitted_by=submitter.key_id,
        of_new_task=is_new,
    )


def create_job(
    session: Session,
    task_id: str,
    order: schemas.JobCreate,
    submitter: Submitter = Submitter(),
    probes: DesignedProbes | None = None,
) -> Job:
    """Order a further measuring. Raises TaskNotFound and whatever order_job raises."""
    return order_job(session, storage.get_task(session, task_id, lock=True), order, submitter, probes)


def read_task(session: Session, task_id: str) -> schemas.Task:
    return view(session, storage.get_task(session, task_id))


def list_tasks(session: Session, matrix_id: str | None, after: str, limit: int) -> list[schemas.Task]:
    return [_view(session, task, job_id) for task, job_id in storage.list_tasks(session, matrix_id, after, limit)]


def view(session: Session, task: Task) -> schemas.Task:
    return _view(session, task, job_storage.newest_job_id(session, task.id))


def _view(session: Session, task: Task, job_id: str | None) -> schemas.Task:
    if task.created_at is None:
        session.refresh(task)
    return schemas.Task(
        id=task.id,
        name=task.name,
        matrix=task.matrix_id,
        dataset=task.dataset_sha256 or task.imported_dataset,
        read_as=None if task.read_as is None else schemas.ReadAs.model_validate(task.read_as),
        measure=schemas.Measure(task.measure),
        design=None if task.design is None else schemas.Design(task.design),
        designed_from=task.designed_from,
        size=task.size,
        probe_seed=task.probe_seed,
        seed=task.seed,
        family=task.family,
        n_examples=task.n_examples,
        repeat_of=task.repeat_of,
        known=task.known,
        row_version=task.row_version,
        n_measured=task.n_measured,
        job=job_id,
        created_at=moment(task.created_at),
    )


def _insert_task(
    session: Session,
    wanted: schemas.TaskCreate,
    natural_key: str | None,
    dataset: Dataset | None,
    probes: DesignedProbes | None,
) -> Task:
    is_probed = wanted.measure == "probe"
    task = Task(
        id=wanted.id or new_id("task"),
        matrix_id=wanted.matrix,
        name=wanted.name,
        dataset_sha256=wanted.dataset,
        measure=wanted.measure,
        size=wanted.size if is_probed else None,
        probe_seed=wanted.probe_seed if is_probed else None,
        seed=wanted.seed,
        family=wanted.family,
        design=probes.design if is_probed and probes is not None else None,
        designed_from=probes.designed_from if is_probed and probes is not None else None,
        n_examples=wanted.n_examples or (None if dataset is None else dataset.n_lines),
        repeat_of=wanted.repeat_of,
        read_as=None if dataset is None else dataset.read_as,
        natural_key=natural_key,
    )
    session.add(task)
    session.flush()
    return task


def _names(wanted: schemas.TaskCreate, natural_key: str | None) -> list[Name]:
    """What nobody else may look for or make while a task is registered."""
    own: list[Name] = [("task", wanted.id)] if wanted.id else []
    return own if natural_key is None else [*own, ("order", wanted.matrix, natural_key)]


def _share(session: Session, task: Task, natural_key: str) -> Registered | None:
    """Give a new task the cells of one that was ordered the same, now or when the job at work brings them."""
    if _copied(session, task, natural_key):
        return Registered(view(session, task), True, None, "")
    job = job_storage.active_order(session, task.matrix_id, natural_key, task.measure)
    if job is None or (task.size is not None and _n_positions(job) != task.size):
        return None
    storage.get_task(session, job.task_id, lock=True)  # as the end of its job does
    if not job_storage.still_active(session, job):
        return Registered(view(session, task), True, None, "") if _copied(session, task, natural_key) else None
    task.design, task.designed_from = job.design, job.designed_from
    job_storage.share_job(session, job.id, task.id)
    return Registered(_view(session, task, job.id), True, job.id, job.hardware)


def _copied(session: Session, task: Task, natural_key: str) -> bool:
    same = storage.same_order(session, task.matrix_id, natural_key, measured=True)
    if same is None:
        return False
    task.design, task.designed_from = same.design, same.designed_from
    storage.copy_measurements(session, same, task)
    return True


def _n_positions(job: Job) -> int:
    return len(np.frombuffer(job.positions or b"", "<i4"))


def _natural_key(wanted: schemas.TaskCreate) -> str | None:
    """Two tasks of one matrix with the same key would get the same cells. Without data there is none."""
    if wanted.dataset is None:
        return None
    probes = [wanted.design, wanted.size, wanted.probe_seed] if wanted.measure == "probe" else []
    return sha256_of([wanted.dataset, wanted.measure, probes, wanted.seed])


def _says_otherwise(wanted: schemas.TaskCreate, task: Task) -> bool:
    """Whether an order states of a task what it is not; what it leaves out may be anything."""
    said = [(wanted.family, task.family), (wanted.n_examples, task.n_examples), (wanted.repeat_of, task.repeat_of)]
    return any(ours is not None and ours != theirs for ours, theirs in said)


def _named(session: Session, matrix: Matrix, order: schemas.JobCreate) -> NDArray[np.intp] | None:
    """The upstream examples that an order names, None when it measures all."""
    if order.examples is None:
        return None
    place = positions_of(session, matrix.upstream_set_id, order.examples)
    absent = [name for name in order.examples if name not in place]
    if absent:
        raise unknown("/examples", f"the upstream set has no example {absent[0]!r}")
    named = np.unique([place[name] for name in order.examples])
    unscored = set(unmeasurable(session, matrix).tolist())
    in_vain = [name for name in order.examples if place[name] in unscored]
    if in_vain:
        detail = f"the example {in_vain[0]!r} has nothing to score under the matrix's setting; leave it out"
        raise InvalidRequest(detail, errors=(FieldError("/examples", detail),))
    return named


def _packed(positions: NDArray[np.intp] | None) -> bytes | None:
    return None if positions is None else positions.astype("<i4").tobytes()


def _check_queue(session: Session, submitter: Submitter) -> None:
    most = submitter.max_queued_jobs
    if most is not None and not job_storage.may_queue(session, submitter.key_id, most):
        raise TooManyJobs(
            f"{most} jobs of this API key are waiting (FORGETCAST_MAX_QUEUED_JOBS); send this one when some are done",
            retry_after=60,
        )


def _check_deadline(session: Session, deadline: datetime | None) -> None:
    """By the database's clock, which is the one that ends jobs."""
    now = None if deadline is None else seconds_now(session)
    if deadline is not None and now is not None and deadline.timestamp() <= now:
        detail = f"{deadline.isoformat()} has passed: it is {moment(now).isoformat(timespec='seconds')}"
        raise InvalidRequest(f"the deadline {detail}", errors=(FieldError("/deadline", detail),))


def _seconds(deadline: datetime | None) -> float | None:
    return None if deadline is None else deadline.timestamp()
