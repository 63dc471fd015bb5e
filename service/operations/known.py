"""The known rows of a matrix version as arrays."""

from __future__ import annotations

import numpy as np

from forgetcast.completion import ForgettingMatrix
from service.operations.belief import believable
from service.storage import matrices as storage
from service.storage import tasks as task_storage
from service.storage.database import Session
from service.storage.upstream_sets import read_columns


def read_known(session: Session, matrix_id: str, version: int) -> ForgettingMatrix:
    """The known rows of a matrix version; float32, as they are kept.

    Raises
    ------
    MatrixEmpty
    """
    matrix = storage.get_matrix(session, matrix_id)
    columns = read_columns(session, matrix.upstream_set_id)
    known = storage.known_rows(session, matrix_id, version)
    forgetting = np.full((len(known), len(columns.example_ids)), np.nan, np.float32)
    for row, (task_id, row_version, _family) in zip(forgetting, known, strict=True):
        cells = believable(task_storage.read_cells(session, task_id, row_version, None), task_id)
        row[cells.positions] = cells.forgetting
    measured = np.flatnonzero(np.isfinite(forgetting).any(axis=1)).tolist()
    if len(measured) < len(known):  # a row of nothing but unbelievable cells, taken in by an older version
        forgetting, known = forgetting[measured], [known[row] for row in measured]
    families = [family for _task_id, _row_version, family in known]
    return ForgettingMatrix.from_arrays(
        forgetting,
        task_ids=[task_id for task_id, _row_version, _family in known],
        example_ids=columns.example_ids,
        domains=columns.domains,
        families=families if any(families) else None,
    )
