"""Matrices and their known rows."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from forgetcast.client.connection import Connection, segment
from forgetcast.errors import UnexpectedAnswer
from forgetcast.schemas import Matrix, MatrixCreate, Task

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Matrices:
    """`client.matrices`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, wanted: MatrixCreate) -> Matrix:
        """A new matrix, or the one that is there under this id with the same content."""
        return self._connection.read(Matrix, "POST", "/v1/matrices", json=wanted.model_dump(mode="json"))

    def get(self, matrix_id: str) -> Matrix:
        return self._connection.read(Matrix, "GET", f"/v1/matrices/{segment(matrix_id)}")

    def list(self) -> Iterator[Matrix]:
        return self._connection.pages(Matrix, "/v1/matrices")

    def backtest(self, matrix_id: str) -> dict[str, Any]:
        """What `forgetcast.completion.backtest` found when the matrix was fitted; `get(...).quality` is its sum."""
        report = self._connection.request("GET", f"/v1/matrices/{segment(matrix_id)}/backtest").json()
        if not isinstance(report, dict):
            raise UnexpectedAnswer(f"the back-test of {matrix_id!r} is not a JSON object")
        return report

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
    ) -> Task:
        """Import one measured row: (N,) in the order of the upstream set, NaN where missing, or by example id."""
        query = {
            "family": family,
            "n_examples": n_examples,
            "repeat_of": repeat_of,
            "seed": seed,
            "dataset": dataset,
        }
        body, media_type = _row_bytes(forgetting)
        headers = {"Content-Type": media_type}
        path = f"/v1/matrices/{segment(matrix_id)}/rows/{segment(task_id)}"
        return self._connection.read(Task, "PUT", path, params=query, body=body, headers=headers)

    def row(self, matrix_id: str, task_id: str) -> NDArray[np.float32]:
        """One known row as measured, (N,), NaN where missing."""
        import numpy as np

        answer = self._connection.request("GET", f"/v1/matrices/{segment(matrix_id)}/rows/{segment(task_id)}")
        values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return values

    def delete_row(self, matrix_id: str, task_id: str, *, row_version: int) -> None:
        """Remove a known row, if it still has the version that the task was read with."""
        headers = {"If-Match": f'"{row_version}"'}
        self._connection.request(
            "DELETE", f"/v1/matrices/{segment(matrix_id)}/rows/{segment(task_id)}", headers=headers
        )


def _row_bytes(forgetting: NDArray[Any] | Mapping[str, float]) -> tuple[bytes, str]:
    if isinstance(forgetting, Mapping):
        import json

        lines = [
            json.dumps({"example_id": example, "forgetting": value}, ensure_ascii=False)
            for example, value in forgetting.items()
        ]
        return "".join(f"{line}\n" for line in lines).encode(), "application/x-ndjson"
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.asarray(forgetting, np.float32), allow_pickle=False)
    return buffer.getvalue(), "application/x-npy"
