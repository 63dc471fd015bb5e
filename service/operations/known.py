"""The known rows of a matrix version, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.operations.belief import believable
from service.storage import matrices as storage
from service.storage import tasks as task_storage
from service.storage.database import Session


class KnownRow(NamedTuple):
    """A row as it was known: (N,) float32 in set order, nats per token, NaN where there is no value."""

    task_id: str
    family: str | None
    values: NDArray[np.float32]


def each_known(session: Session, matrix_id: str, version: int, n_examples: int) -> Iterator[KnownRow]:
    """By task id; without rows of nothing but unbelievable cells, which an older version took in."""
    for task_id, row_version, family in storage.known_rows(session, matrix_id, version):
        cells = believable(task_storage.read_cells(session, task_id, row_version, None), task_id)
        if cells.positions.size:
            values = np.full(n_examples, np.nan, np.float32)
            values[cells.positions] = cells.forgetting
            yield KnownRow(task_id, family, values)
