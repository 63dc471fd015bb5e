"""What reads share in memory: fits, columns, completed rows and answers, bounded in bytes.

Every key carries versions, so nothing here is ever out of date; what is put out is computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import Any, TypeVar

import numpy as np
from cachetools import LRUCache
from numpy.typing import NDArray

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION, FittedMethod, RowForecast
from forgetcast.completion.types import Floats, Indices, Mask
from service.operations.base_values import without
from service.operations.fit_files import FitFiles
from service.storage.database import Session
from service.storage.upstream_sets import UpstreamColumns, read_columns

FITS, SETS = 8, 8  # mapped from files and small; more than one matrix in use at a time is rare
ANSWERS_SHARE = 8  # one byte in so many is for answers

LEADING = 1000

T = TypeVar("T")
RowKey = tuple[str, int, int, bool, float]  # task, matrix version, row version, tested, level


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
    tested: bool
    quality: dict[str, Any] | None
    same_recipe: bool
    columns: UpstreamColumns
    row: RowForecast
    unmeasurable: Indices  # positions that have no forecast, since nothing of them can be measured

    @property
    def key(self) -> RowKey:
        versions = self.versions
        return self.task_id, versions.matrix_version, versions.row_version, self.tested, self.row.level

    @property
    def etag(self) -> str:
        return etag(self.versions.matrix_version, self.versions.row_version, self.tested)

    @cached_property
    def groups(self) -> dict[str, NDArray[np.intp]]:
        """Positions by domain; of what can be measured."""
        groups, measurable = self.columns.groups, self.measurable
        if measurable is not None:
            groups = {name: of[measurable[of]] for name, of in groups.items()}
        return {name: of for name, of in groups.items() if of.size}

    @cached_property
    def measurable(self) -> Mask | None:
        """(N,), which examples have a forecast; None for all."""
        return without(self.unmeasurable, self.row.mean.size)

    def shown(self, values: Floats) -> Floats:
        """(N,) values of the row, NaN where there is no forecast."""
        return values if self.measurable is None else np.where(self.measurable, values, np.nan)

    @cached_property
    def leading(self) -> Indices:
        """Positions of the most forgotten examples, as many as most questions are about."""
        return self.row.top(LEADING, self.measurable)

    @cached_property
    def n_bytes(self) -> int:
        """Memory that goes when this goes: what is (N,) in the row and its posterior; loadings are the fit's."""
        held = {id(array): array for array in [*vars(self.row).values(), *vars(self.row.posterior).values()]}
        return sum(array.nbytes for array in held.values() if isinstance(array, np.ndarray) and array.ndim == 1)


def etag(matrix_version: int, row_version: int, tested: bool) -> str:
    """Strong: what a forecast shows depends on nothing else. Until the back-test is there it has no quality to show."""
    return f'"{matrix_version}-{row_version}-{MODEL_VERSION}{"" if tested else "-untested"}"'


class ForecastCache:
    """Shared by the threads of a process."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._files = FitFiles(folder)
        self._lock = Lock()
        self._making: dict[Hashable, Lock] = {}
        self._fits: LRUCache[str, FittedMethod] = LRUCache(FITS)
        self._columns: LRUCache[str, UpstreamColumns] = LRUCache(SETS)
        self._rows: LRUCache[RowKey, Completed] = LRUCache(
            max_bytes - max_bytes // ANSWERS_SHARE, lambda completed: completed.n_bytes
        )
        self._answers: LRUCache[Hashable, bytes] = LRUCache(max_bytes // ANSWERS_SHARE, len)

    def fitted(self, session: Session, sha256: str) -> FittedMethod:
        """The fit whose arrays have this sha256."""
        return self._once(self._fits, sha256, lambda: FittedMethod.from_arrays(self._files.arrays(session, sha256)))

    def columns(self, session: Session, set_id: str) -> UpstreamColumns:
        return self._once(self._columns, set_id, lambda: read_columns(session, set_id))

    def row(self, key: RowKey, make: Callable[[], Completed]) -> Completed:
        """The completed row of this key, made once however many ask for it at the same time."""
        return self._once(self._rows, key, make)

    def answer(self, key: Hashable) -> bytes | None:
        with self._lock:
            return self._answers.get(key)

    def keep_answer(self, key: Hashable, answer: bytes) -> None:
        with self._lock:
            _keep(self._answers, key, answer)

    def _once(self, store: LRUCache[Any, T], key: Hashable, make: Callable[[], T]) -> T:
        with self._lock:
            found = store.get(key)
            if found is not None:
                return found
            turn = self._making.setdefault((id(store), key), Lock())
        with turn:
            with self._lock:
                found = store.get(key)
            if found is None:
                try:
                    found = make()
                    with self._lock:
                        _keep(store, key, found)
                finally:
                    with self._lock:
                        self._making.pop((id(store), key), None)
            return found


def _keep(store: LRUCache[Any, T], key: Hashable, value: T) -> None:
    """A value that alone is larger than its store is not kept."""
    if store.getsizeof(value) <= store.maxsize:
        store[key] = value
