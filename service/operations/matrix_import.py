"""A whole matrix from one file, with its upstream set where there is none: all of it or nothing."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, BinaryIO, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forgetcast import schemas
from forgetcast.completion import ForgettingMatrix, Origin
from forgetcast.completion.matrix.outliers import find_outliers, outlier_warnings
from forgetcast.completion.types import Values
from forgetcast.errors import InvalidRequest, LimitExceeded, UnknownReference, UnreadableMatrix
from service.models import Models
from service.operations import matrices, upstream_sets
from service.operations.npz_limits import check_npz
from service.operations.rows import RowOrigin, import_row
from service.storage.database import Session
from service.storage.locks import hold
from service.storage.matrices import get_matrix
from service.storage.tables import UpstreamSet
from service.storage.tasks import find_task
from service.storage.upstream_sets import read_columns

MOST_NAMES = 2000  # a file's rows; Postgres has room for some thousand locks, of all transactions together

S = TypeVar("S", bound=BaseModel)


@dataclass(frozen=True)
class Limits:
    """What a deployment admits."""

    max_steps: int
    max_rows: int
    max_examples: int


class Imported(NamedTuple):
    """What an import has made or found: the matrix, its new rows, and whether the upstream set is new."""

    matrix: schemas.Matrix
    new_rows: tuple[str, ...]
    is_new_set: bool


class _Row(BaseModel):
    """What a file says of a row, in the form that ids and facts have here."""

    model_config = ConfigDict(arbitrary_types_allowed=True)

    task_id: schemas.Id
    values: np.ndarray[Any, Any]
    family: Annotated[schemas.Text, Field(max_length=128)] | None
    seed: schemas.Seed | None
    n_examples: schemas.Count | None
    dataset: schemas.Sha256 | None
    repeat_of: schemas.Id | None


def read_matrix(source: BinaryIO) -> ForgettingMatrix:
    """The matrix of an uploaded file. Raises LimitExceeded, and what ForgettingMatrix raises."""
    check_npz(source)
    with tempfile.NamedTemporaryFile(suffix=".npz") as copy:
        shutil.copyfileobj(source, copy)
        copy.flush()
        try:
            return ForgettingMatrix.load(copy.name)
        except UnreadableMatrix as error:
            raise UnreadableMatrix(str(error).replace(copy.name, "the file")) from error


def import_matrix(
    session: Session,
    known: ForgettingMatrix,
    wanted: schemas.MatrixCreate,
    models: Callable[[], Models],
    limits: Limits,
) -> Imported:
    """Make what is missing of an upstream set, a matrix and its rows, in the caller's transaction: whatever is refused,
    nothing of it is there afterwards. What is there already stays.

    Raises
    ------
    InvalidRequest, UnknownReference : an id or a fact that cannot be one, an example that the set does not have
    IdInUse : a matrix of this id has another definition
    And what `import_row` raises.
    """
    rows = list(_rows(known))
    _hold(session, rows, wanted)
    is_new_set = _make_set(session, known, wanted.upstream_set, limits.max_examples)
    matrix, _is_new = matrices.create_matrix(session, wanted, models, limits.max_steps)
    _lock(session, rows, matrix.id)
    place = {name: at for at, name in enumerate(read_columns(session, wanted.upstream_set).example_ids)}
    absent = next((name for name in known.example_ids if name not in place), None)
    if absent is not None:
        raise UnknownReference(f"the upstream set {wanted.upstream_set!r} has no example {absent!r}")
    positions = np.array([place[name] for name in known.example_ids], np.intp)
    new_rows = []
    for row in rows:
        values = np.full(len(place), np.nan, np.float32)
        values[positions] = row.values
        origin = RowOrigin(row.family, row.n_examples, row.repeat_of, row.seed, row.dataset)
        _task, is_new = import_row(session, matrix.id, row.task_id, values, origin, limits.max_rows)
        if is_new:
            new_rows.append(row.task_id)
    return Imported(matrices.read_matrix(session, matrix.id), tuple(new_rows), is_new_set)


def _hold(session: Session, rows: Sequence[_Row], wanted: schemas.MatrixCreate) -> None:
    """Hold every name that may have to be made. Raises LimitExceeded for more than a database holds at a time."""
    if len(rows) > MOST_NAMES:
        raise LimitExceeded(f"a file has at most {MOST_NAMES} rows; import the others from a second one")
    of_rows = [("task", row.task_id) for row in rows]
    hold(session, ("upstream set", wanted.upstream_set), ("matrix", wanted.id or ""), *of_rows)


def _lock(session: Session, rows: Sequence[_Row], matrix_id: str) -> None:
    """Lock what there is of the matrix and its tasks, in the order of all others."""
    get_matrix(session, matrix_id, lock=True)
    for task_id in sorted(row.task_id for row in rows):
        find_task(session, task_id, lock=True)


def warnings_of(known: ForgettingMatrix) -> list[str]:
    """A sentence for every cell and row of the file that is beyond belief beside its other rows."""
    return [f"outlier: {task}: {sentence}" for task, sentence in outlier_warnings(known, find_outliers(known))]


def _make_set(session: Session, known: ForgettingMatrix, set_id: str, max_examples: int) -> bool:
    """Whether the set was missing, and is there now, made of ids, domains and held-out marks."""
    found = session.get(UpstreamSet, set_id)
    if found is not None and found.sha256 is not None:
        return False
    upstream_sets.create_upstream_set(session, schemas.UpstreamSetCreate(id=set_id))
    upstream_sets.register_examples(session, set_id, enumerate(_examples(known), 1), max_examples)
    return True


def _examples(known: ForgettingMatrix) -> Iterator[schemas.UpstreamExample]:
    domains = known.domains or ("",) * known.n_examples
    held_out = [False] * known.n_examples if known.held_out is None else known.held_out.tolist()
    for name, domain, held in zip(known.example_ids, domains, held_out, strict=True):
        yield _made(schemas.UpstreamExample, f"the example {name!r}", id=name, domain=domain, held_out=held)


def _rows(known: ForgettingMatrix) -> Iterator[_Row]:
    """Known rows, then their repeats, which are taken only when what they repeat is known."""
    families = known.families or (None,) * known.n_tasks
    origins = known.origins or (Origin(),) * known.n_tasks
    for at, (task_id, family, origin) in enumerate(zip(known.task_ids, families, origins, strict=True)):
        values = np.where(known.observed[at], known.forgetting[at], np.nan).astype(np.float32)
        yield _row(task_id, values, family, origin, None)
    for again in known.repeats:
        values = np.where(again.observed, again.forgetting, np.nan).astype(np.float32)
        yield _row(again.task_id, values, again.family, again.origin, again.repeat_of)


def _row(task_id: str, values: Values, family: str | None, origin: Origin, repeat_of: str | None) -> _Row:
    said = {"seed": origin.seed, "n_examples": origin.n_examples, "dataset": origin.dataset}
    return _made(
        _Row, f"the row {task_id!r}", task_id=task_id, values=values, family=family, repeat_of=repeat_of, **said
    )


def _made(shape: type[S], whose: str, **fields: Any) -> S:
    try:
        return shape.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise InvalidRequest(f"{whose}: {'/'.join(map(str, first['loc']))}: {first['msg']}") from error
