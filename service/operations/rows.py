"""Import, read, export and remove known rows of a matrix."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable
from dataclasses import dataclass
from typing import IO, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from forgetcast import schemas
from forgetcast.completion.arguments import LARGEST_FORGETTING
from forgetcast.errors import (
    FieldError,
    LimitExceeded,
    NotFinite,
    NothingObserved,
    RecipeMismatch,
    RepeatedExample,
    RowNotFound,
    TaskExists,
    UnknownReference,
    VersionChanged,
    WrongRepeat,
    WrongShape,
)
from forgetcast.layouts.parquet import read_rows
from service.operations import tasks
from service.operations.belief import beyond_belief
from service.operations.json_lines import parse_lines, parse_value
from service.operations.repeats import check_repeat
from service.operations.whole_rows import known_rows_parquet, npy_chunks
from service.storage import matrices as matrix_storage
from service.storage import tasks as storage
from service.storage.database import Session
from service.storage.locks import hold
from service.storage.tables import Matrix, Task, UpstreamSet
from service.storage.upstream_sets import UpstreamColumns, read_columns

Row = NDArray[np.float32]


@dataclass(frozen=True)
class RowOrigin:
    """What is said of an imported row beside its values."""

    family: str | None = None
    n_examples: int | None = None
    repeat_of: str | None = None
    seed: int | None = None
    dataset: str | None = None
    recipe: schemas.Recipe | None = None
    setting: schemas.Setting | None = None


class ImportedCell(schemas.Shape):
    example_id: schemas.ExampleId
    forgetting: schemas.Finite | None


def import_row(
    session: Session, matrix_id: str, task_id: str, values: Row, origin: RowOrigin, max_rows: int
) -> tuple[schemas.Task, bool]:
    """Make a measured row known to the matrix, and say whether the task is new.

    The same values again change nothing, unless they are said to be of another family, size, seed or data; then, as
    other values do, they supersede the row. A repeat (`repeat_of`) does not become a known row.

    Parameters
    ----------
    values : (N,) float32 in set order, nats per token, NaN where there is no value

    Raises
    ------
    MatrixNotFound, WrongShape, NotFinite, BeyondBelief, NothingObserved, RecipeMismatch, UnknownReference
    WrongRepeat : also where the task is known for a repeat of another one, or for none
    TaskExists : the id belongs to a task of another matrix, or to one that a worker measures
    LimitExceeded : a new row, and the matrix knows `max_rows` already
    """
    hold(session, ("task", task_id))
    matrix = matrix_storage.get_matrix(session, matrix_id, lock=True)
    _check_values(session, matrix, task_id, values)
    _check_origin(session, matrix, task_id, origin)
    task = storage.find_task(session, task_id, lock=True)
    is_new = task is None
    if task is None:
        if matrix_storage.count_known(session, matrix_id) >= max_rows:
            raise LimitExceeded(f"a matrix has at most {max_rows} known rows here (FORGETCAST_MAX_ROWS)")
        task = Task(
            id=task_id,
            matrix_id=matrix_id,
            measure=schemas.Measure.NONE,
            seed=origin.seed or 0,
            repeat_of=origin.repeat_of,
        )
        session.add(task)
        session.flush()
    elif task.matrix_id != matrix_id or task.measure != schemas.Measure.NONE:
        whose = "a task that a worker measures" if task.matrix_id == matrix_id else f"the matrix {task.matrix_id!r}"
        raise TaskExists(
            f"the id {task_id!r} belongs to {whose}, and tasks share their ids over all matrices; give the row another",
            location=f"/v1/tasks/{task_id}",
        )
    elif origin.repeat_of is not None and origin.repeat_of != task.repeat_of:
        raise _not_its_repeat(task, origin.repeat_of)
    elif _has_values(session, matrix, task, values) and not _said_anew(task, origin):
        return tasks.view(session, task), False
    for name, fact in _said_anew(task, origin).items():
        setattr(task, name, fact)
    storage.add_measurement(session, task, None, values, **_provenance(matrix, task, origin))
    if task.repeat_of is None:
        task.known = True
        matrix_storage.supersede_row(session, matrix, task_id, task.row_version)
    session.flush()
    return tasks.view(session, task), is_new


def read_row(session: Session, matrix_id: str, task_id: str) -> tuple[Row, int]:
    """A known row or a repeat, (N,) with NaN where there is no value, and its row version. Raises RowNotFound."""
    matrix = matrix_storage.get_matrix(session, matrix_id)
    task = storage.find_task(session, task_id)
    if task is not None and task.matrix_id == matrix_id and task.repeat_of is not None and task.row_version:
        return _dense(session, matrix, task_id, task.row_version), task.row_version
    row_version = _known_version(session, matrix, task_id)
    return _dense(session, matrix, task_id, row_version), row_version


def remove_row(session: Session, matrix_id: str, task_id: str, row_version: int) -> None:
    """Take a row out of the matrix from its next version on; earlier versions keep it.

    Raises
    ------
    RowNotFound, VersionChanged : the row was superseded since the caller read it
    """
    matrix = matrix_storage.get_matrix(session, matrix_id, lock=True)
    current = _known_version(session, matrix, task_id)
    if current != row_version:
        raise VersionChanged(f"the row of {task_id!r} has version {current}, If-Match names {row_version}")
    task = storage.get_task(session, task_id, lock=True)
    matrix_storage.supersede_row(session, matrix, task_id, None)
    task.known = False
    session.flush()


def _known_version(session: Session, matrix: Matrix, task_id: str) -> int:
    """The version of a known row as the matrix knows it. Raises RowNotFound."""
    for known_id, row_version, _family in matrix_storage.known_rows(session, matrix.id, matrix.version):
        if known_id == task_id:
            return row_version
    raise RowNotFound(f"the matrix {matrix.id!r} knows no row of task {task_id!r}")


@dataclass(frozen=True)
class SpooledRows:
    """The known rows of a matrix version in a temporary file, float32 (M, N) with NaN where there is no value."""

    task_ids: list[str]
    columns: UpstreamColumns
    file: IO[bytes]

    @property
    def shape(self) -> tuple[int, int]:
        return len(self.task_ids), len(self.columns.example_ids)

    def npy(self) -> Generator[bytes]:
        """The rows as a `.npy` file; the temporary file is closed at its end."""
        with self.file:
            yield from npy_chunks(self._values())

    def parquet(self) -> Generator[bytes]:
        """The rows as Parquet, a column a task; the temporary file is closed at its end."""
        with self.file:
            yield from known_rows_parquet(self.task_ids, self.columns, self._values())

    def _values(self) -> NDArray[np.float32]:
        # An empty file cannot be mapped.
        return np.memmap(self.file, "<f4", "r", shape=self.shape) if all(self.shape) else np.zeros(self.shape, "<f4")


def matrix_version(session: Session, matrix_id: str) -> int:
    """What an export of its rows depends on. Raises MatrixNotFound."""
    return matrix_storage.get_matrix(session, matrix_id).version


def spool_rows(session: Session, matrix_id: str) -> SpooledRows:
    """The known rows by task id, one in memory at a time; sending them needs no database. Raises MatrixNotFound."""
    matrix = matrix_storage.get_matrix(session, matrix_id)
    known = matrix_storage.known_rows(session, matrix_id, matrix.version)
    file = tempfile.TemporaryFile()  # noqa: SIM115 (whoever sends it closes it)
    for task_id, row_version, _family in known:
        file.write(_dense(session, matrix, task_id, row_version).astype("<f4").tobytes())
    file.flush()
    return SpooledRows(
        [task_id for task_id, _version, _family in known], read_columns(session, matrix.upstream_set_id), file
    )


def parse_json_row(session: Session, matrix_id: str, source: BinaryIO) -> Row:
    """JSON Lines of {example_id, forgetting} as a row; examples that are not named have no value."""
    return _by_id(session, matrix_id, parse_lines(source, ImportedCell))


def parse_parquet_row(session: Session, matrix_id: str, source: BinaryIO) -> Row:
    """A Parquet file with the columns example_id and forgetting as a row; others are not read."""
    cells = (
        (number, parse_value(row, ImportedCell, number))
        for number, row in enumerate(read_rows(source, list(ImportedCell.model_fields)), 1)
    )
    return _by_id(session, matrix_id, cells)


def _by_id(session: Session, matrix_id: str, cells: Iterable[tuple[int, ImportedCell]]) -> Row:
    matrix = matrix_storage.get_matrix(session, matrix_id)
    columns = read_columns(session, matrix.upstream_set_id)
    place = {example_id: position for position, example_id in enumerate(columns.example_ids)}
    values = np.full(len(place), np.nan, np.float32)
    seen: set[str] = set()
    for number, cell in cells:
        if cell.example_id not in place:
            raise UnknownReference(f"line {number}: the upstream set has no example {cell.example_id!r}")
        if cell.example_id in seen:
            raise RepeatedExample(f"line {number}: the example {cell.example_id!r} appears twice")
        seen.add(cell.example_id)
        if cell.forgetting is not None:
            if abs(cell.forgetting) > LARGEST_FORGETTING:
                raise beyond_belief(
                    cell.forgetting, f"line {number}, example {cell.example_id!r}", f"/{number - 1}/forgetting"
                )
            values[place[cell.example_id]] = cell.forgetting
    return values


def _check_values(session: Session, matrix: Matrix, task_id: str, values: Row) -> None:
    n_examples = session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples
    if values.shape != (n_examples,):
        raise WrongShape(
            f"the row has shape {values.shape}, the upstream set {matrix.upstream_set_id!r} has {n_examples} examples; "
            f"send one value per example, in set order"
        )
    if np.isinf(values).any():
        raise NotFinite(f"the value at position {int(np.flatnonzero(np.isinf(values))[0])} is infinite")
    beyond = np.flatnonzero(np.abs(values) > LARGEST_FORGETTING)
    if beyond.size:
        position = int(beyond[0])
        example_id = read_columns(session, matrix.upstream_set_id).example_ids[position]
        raise beyond_belief(float(values[position]), f"task {task_id!r}, example {example_id!r}", f"/{position}")
    if np.isnan(values).all():
        raise NothingObserved("the row has no value at all: every cell is NaN")


def _check_origin(session: Session, matrix: Matrix, task_id: str, origin: RowOrigin) -> None:
    for name, given, own in (("recipe", origin.recipe, matrix.recipe), ("setting", origin.setting, matrix.setting)):
        if given is not None and given.model_dump(mode="json") != own:
            raise RecipeMismatch(
                f"the row was measured under another {name} than the matrix {matrix.id!r}; "
                f"known rows of one matrix share recipe and setting, so import it into a matrix of its own"
            )
    check_repeat(session, matrix.id, task_id, origin.repeat_of)


def _not_its_repeat(task: Task, repeat_of: str) -> WrongRepeat:
    known_for = "no repeat" if task.repeat_of is None else f"a repeat of {task.repeat_of!r}"
    detail = f"the task {task.id!r} is {known_for}, and cannot become one of {repeat_of!r}; give the repeat another id"
    return WrongRepeat(detail, errors=(FieldError("/repeat_of", detail),))


def _said_anew(task: Task, origin: RowOrigin) -> dict[str, Any]:
    """What is said of the row and was not known of its task, by column; what is not said stays as it is."""
    said = {
        "family": origin.family,
        "n_examples": origin.n_examples,
        "seed": origin.seed,
        "imported_dataset": origin.dataset,
    }
    return {name: fact for name, fact in said.items() if fact is not None and fact != getattr(task, name)}


def _has_values(session: Session, matrix: Matrix, task: Task, values: Row) -> bool:
    if task.repeat_of is None and not task.known:
        return False
    return np.array_equal(_dense(session, matrix, task.id, task.row_version), values, equal_nan=True)


def _dense(session: Session, matrix: Matrix, task_id: str, row_version: int) -> Row:
    n_examples = session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples
    assert n_examples is not None
    cells = storage.read_cells(session, task_id, row_version, None)
    values = np.full(n_examples, np.nan, np.float32)
    values[cells.positions] = cells.forgetting
    return values


def _provenance(matrix: Matrix, task: Task, origin: RowOrigin) -> dict[str, Any]:
    return {
        "model_revision": matrix.model_revision,
        "recipe": matrix.recipe,
        "setting": matrix.setting,
        "seed": task.seed,
        "source": "imported" + (f", data set {origin.dataset}" if origin.dataset else ""),
        "job_id": None,
    }
