"""Matrices and their known rows."""

from __future__ import annotations

import io
import json
import math
import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forgetcast.client.connection import Connection, Content, body_of, segment
from forgetcast.client.upstream_sets import examples_path
from forgetcast.errors import ConfigurationError, MatrixEmpty, VersionChanged
from forgetcast.schemas import (
    Design,
    ImportedMatrix,
    ImportedRow,
    Matrix,
    MatrixCreate,
    ProbeSet,
    Recipe,
    Setting,
    Task,
    UpstreamExample,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from forgetcast.completion import ForgettingMatrix
    from forgetcast.schemas.reports import MatrixAnalysis, MatrixBacktest


class Matrices:
    """`client.matrices`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, wanted: MatrixCreate) -> Matrix:
        """A new matrix, or the one that is there under this id with the same content."""
        return self._connection.read(Matrix, "POST", "/v1/matrices", json=wanted.model_dump(mode="json"))

    def get(self, matrix_id: str) -> Matrix:
        return self._connection.read(Matrix, "GET", _path(matrix_id))

    def list(self) -> Iterator[Matrix]:
        return self._connection.pages(Matrix, "/v1/matrices")

    def backtest(self, matrix_id: str, *, as_of: int | None = None) -> MatrixBacktest:
        """What `forgetcast.completion.backtest` found when the matrix was fitted; `get(...).quality` is its sum."""
        from forgetcast.schemas.reports import MatrixBacktest

        return self._connection.read(MatrixBacktest, "GET", f"{_path(matrix_id)}/backtest", params={"as_of": as_of})

    def analysis(self, matrix_id: str, *, as_of: int | None = None) -> MatrixAnalysis:
        """What `forgetcast.completion.analyse` says of the known rows."""
        from forgetcast.schemas.reports import MatrixAnalysis

        return self._connection.read(MatrixAnalysis, "GET", f"{_path(matrix_id)}/analysis", params={"as_of": as_of})

    def probe_set(
        self,
        matrix_id: str,
        *,
        size: int = 30,
        design: Design | str = Design.MIXED,
        seed: int = 0,
        domains: Sequence[str] = (),
    ) -> ProbeSet:
        """Which upstream examples to measure for a new task, in order, and the error to expect after each.

        With `domains` they are chosen for the error there. All but random ones need a fit: FitPending, MatrixEmpty.
        """
        query = {"size": size, "design": str(design), "seed": seed, "domain": list(domains) or None}
        return self._connection.read(ProbeSet, "GET", f"{_path(matrix_id)}/probe-set", params=query)

    def known(self, matrix_id: str) -> ForgettingMatrix:
        """All known rows with what is known of them and their repeats, for `forgetcast.completion` on this machine.

        A repeat of a task that is no known row is left out: there is nothing to compare it with.

        Raises
        ------
        MatrixEmpty
        VersionChanged : rows were added or removed while they were read
        """
        import numpy as np

        from forgetcast.completion import ForgettingMatrix, Origin

        matrix = self.get(matrix_id)
        tasks = list(self._connection.pages(Task, "/v1/tasks", {"matrix": matrix_id}))
        known = {task.id for task in tasks if task.known}
        if not known:
            raise MatrixEmpty(f"the matrix {matrix_id!r} has no known row")
        tasks = [task for task in tasks if task.known or (task.repeat_of in known and task.n_measured)]
        examples = list(self._connection.pages(UpstreamExample, examples_path(matrix.upstream_set)))
        rows = np.stack([self.row(matrix_id, task.id) for task in tasks])
        if self.get(matrix_id).version != matrix.version:
            raise VersionChanged(f"the rows of {matrix_id!r} changed while they were read; read them again")
        return ForgettingMatrix.from_arrays(
            rows,
            task_ids=[task.id for task in tasks],
            example_ids=[example.id for example in examples],
            domains=[example.domain for example in examples],
            families=[task.family for task in tasks],
            held_out=[example.held_out for example in examples],
            repeat_of=[None if task.known else task.repeat_of for task in tasks],
            origins=[Origin(seed=task.seed, n_examples=task.n_examples, dataset=task.dataset) for task in tasks],
        )

    def export(self, matrix_id: str, path: Path | str) -> None:
        """Write all known rows as the service sends them: .npy is float32 (M, N), .parquet has a column a task."""
        into = Path(path)
        if into.suffix not in (".npy", ".parquet"):
            raise ConfigurationError(f"{path} must end in .npy or .parquet")
        self._connection.request("GET", f"{_path(matrix_id)}/rows{into.suffix}", into=into)

    def put_row(
        self,
        matrix_id: str,
        task_id: str,
        forgetting: NDArray[Any] | Mapping[str, float],
        *,
        family: str | None = None,
        n_examples: int | None = None,
        repeat_of: str | None = None,
        seed: int | None = None,
        dataset: str | None = None,
        recipe: Recipe | None = None,
        setting: Setting | None = None,
    ) -> ImportedRow:
        """Import one measured row: (N,) in the order of the upstream set, NaN where missing, or by example id.

        `warnings` of what comes back name cells, and the row, if they are beyond belief. RecipeMismatch when it was
        measured under another `recipe` or `setting` than the matrix, if those are given.
        """
        query = {
            "family": family,
            "n_examples": n_examples,
            "repeat_of": repeat_of,
            "seed": seed,
            "dataset": dataset,
            "recipe": None if recipe is None else recipe.model_dump_json(),
            "setting": None if setting is None else setting.model_dump_json(),
        }
        body, media_type = _row_bytes(forgetting)
        headers = {"Content-Type": media_type}
        path = f"{_path(matrix_id)}/rows/{segment(task_id)}"
        return self._connection.read(ImportedRow, "PUT", path, params=query, body=body, headers=headers)

    def import_rows(self, rows: Content, wanted: MatrixCreate) -> ImportedMatrix:
        """Import a whole matrix from the `.npz` file that `ForgettingMatrix.save` writes: all of it, or nothing.

        The matrix and its upstream set are made where they are missing; the rows that are there already stay.
        """
        wanted = wanted.model_copy(update={"id": wanted.id or f"mat_{uuid.uuid4().hex}"})
        assert wanted.id is not None
        return self._connection.read(
            ImportedMatrix,
            "PUT",
            f"{_path(wanted.id)}/rows.npz",
            params={"definition": wanted.model_dump_json()},
            body=body_of(rows),
            headers={"Content-Type": "application/x-npz"},
        )

    def row(self, matrix_id: str, task_id: str) -> NDArray[np.float32]:
        """One known row, or a repeat, as measured, (N,), NaN where missing."""
        import numpy as np

        answer = self._connection.request("GET", f"{_path(matrix_id)}/rows/{segment(task_id)}")
        values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return values

    def delete_row(self, matrix_id: str, task_id: str, *, row_version: int) -> None:
        """Remove a known row, if it still has the version that the task was read with."""
        headers = {"If-Match": f'"{row_version}"'}
        self._connection.request("DELETE", f"{_path(matrix_id)}/rows/{segment(task_id)}", headers=headers)


def _path(matrix_id: str) -> str:
    return f"/v1/matrices/{segment(matrix_id)}"


def _number(value: Any) -> float | None:
    """Any number, numpy's too; null where there is none."""
    number = float(value)
    return None if math.isnan(number) else number


def _row_bytes(forgetting: NDArray[Any] | Mapping[str, float]) -> tuple[bytes, str]:
    if isinstance(forgetting, Mapping):
        lines = [
            json.dumps({"example_id": example, "forgetting": _number(value)}, ensure_ascii=False)
            for example, value in forgetting.items()
        ]
        return "".join(f"{line}\n" for line in lines).encode(), "application/x-ndjson"
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(forgetting, np.float32), allow_pickle=False)
    return buffer.getvalue(), "application/x-npy"
