"""What of an imported row is beyond belief beside other known rows of its matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from forgetcast.completion import ForgettingMatrix
from forgetcast.completion.matrix.outliers import FEWEST, find_outliers, outlier_warnings
from service.operations.belief import believable
from service.storage import matrices as matrix_storage
from service.storage import tasks as storage
from service.storage.database import Session
from service.storage.tables import UpstreamSet
from service.storage.upstream_sets import read_columns

COMPARED = 8  # known rows, each read at every import; beside 4 others no row of the two matrices at hand is named


def row_warnings(session: Session, matrix_id: str, task_id: str) -> list[str]:
    """A sentence for the row, and for each of its cells, that is beyond belief; none while too few rows are known."""
    matrix = matrix_storage.get_matrix(session, matrix_id)
    known = matrix_storage.known_rows(session, matrix_id, matrix.version)
    versions = [(other, row_version) for other, row_version, _family in known if other != task_id][:COMPARED]
    if len(versions) < FEWEST:
        return []
    versions.append((task_id, storage.get_task(session, task_id).row_version))
    n_examples = session.get_one(UpstreamSet, matrix.upstream_set_id).n_examples
    assert n_examples is not None
    rows = np.full((len(versions), n_examples), np.nan, np.float32)
    for row, (other, row_version) in zip(rows, versions, strict=True):
        cells = believable(storage.read_cells(session, other, row_version, None), other)
        row[cells.positions] = cells.forgetting
    measured = np.isfinite(rows).any(axis=1)
    compared = ForgettingMatrix.from_arrays(rows[measured])
    found = find_outliers(compared, of_row=compared.n_tasks - 1)
    if not (found.cells or found.rows):
        return []
    named = replace(compared, example_ids=read_columns(session, matrix.upstream_set_id).example_ids)
    return [f"outlier: {sentence}" for _task, sentence in outlier_warnings(named, found)]
