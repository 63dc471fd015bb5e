"""Whole rows in the forms that are downloaded: `.npy`, JSON Lines and Parquet, a block of columns in memory at a time.

The same row gives the same bytes: nothing in them depends on the time, the process or the order of other requests.
"""

from __future__ import annotations

import io
from collections.abc import Generator, Iterator, Sequence
from json.encoder import encode_basestring
from typing import Any

import numpy as np
import pyarrow
from numpy.typing import NDArray

from service.operations.forecast_cache import Completed
from service.operations.parquet import parquet_chunks
from service.storage.upstream_sets import UpstreamColumns

BLOCK = 1 << 16  # columns
CELLS = 4 << 20  # of known rows
LINES = 4096  # a chunk, about half a megabyte
FORECAST = pyarrow.schema(
    [
        ("example_id", pyarrow.string()),
        ("domain", pyarrow.string()),
        ("forgetting", pyarrow.float32()),
        ("low", pyarrow.float32()),
        ("high", pyarrow.float32()),
        ("measured", pyarrow.bool_()),
        ("calibrated", pyarrow.bool_()),
        ("promised", pyarrow.bool_()),  # deprecated: the same as calibrated
    ]
)


def npy_chunks(values: NDArray[Any]) -> Generator[bytes]:
    """An array as a `.npy` file of little-endian float32, C order; (N,) or (M, N)."""
    yield npy_header(values.shape)
    flat = values.reshape(-1)
    for start in range(0, flat.size, 4 * BLOCK):
        yield flat[start : start + 4 * BLOCK].astype("<f4").tobytes()


def npy_header(shape: tuple[int, ...]) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return target.getvalue()


def npy_bytes(shape: tuple[int, ...]) -> int:
    """Size of such a file."""
    return len(npy_header(shape)) + 4 * int(np.prod(shape))


def forecast_lines(completed: Completed) -> Generator[bytes]:
    """One line an example, in set order, with its interval; numbers as exact as they are held."""
    domains = {name: encode_basestring(name) for name in completed.groups}
    row, columns = completed.row, completed.columns
    shown = [completed.shown(values) for values in (row.mean, row.low, row.high)]
    for block in _blocks(row.mean.size, LINES):
        cells = zip(
            columns.example_ids[block],
            columns.domains[block],
            *(_numbers(values[block]) for values in shown),
            row.measured[block].tolist(),
            row.calibrated[block].tolist(),
            strict=True,
        )
        yield "".join(
            f'{{"example_id":{encode_basestring(example_id)},"domain":{domains[domain]},"forgetting":{value},'
            f'"low":{low},"high":{high},"measured":{_json(measured)},"calibrated":{_json(calibrated)},'
            f'"promised":{_json(calibrated)}}}\n'
            for example_id, domain, value, low, high, measured, calibrated in cells
        ).encode()


def forecast_parquet(completed: Completed) -> Generator[bytes]:
    """The same columns as Parquet, numbers as float32."""
    return parquet_chunks(FORECAST, _forecast_blocks(completed))


def known_rows_parquet(
    task_ids: Sequence[str], columns: UpstreamColumns, values: NDArray[np.float32]
) -> Generator[bytes]:
    """Known rows (M, N) as a table of N rows: example id, domain and a column a task, null where there is no value."""
    texts = [("example_id", pyarrow.string()), ("domain", pyarrow.string())]
    schema = pyarrow.schema([*texts, *((task_id, pyarrow.float32()) for task_id in task_ids)])
    length = max(1024, CELLS // max(1, len(task_ids)))

    def blocks() -> Iterator[list[Any]]:
        for block in _blocks(len(columns.example_ids), length):
            cells = [pyarrow.array(row, from_pandas=True) for row in values[:, block]]  # NaN as null
            yield [columns.example_ids[block], columns.domains[block], *cells]

    return parquet_chunks(schema, blocks())


def _forecast_blocks(completed: Completed) -> Iterator[list[Any]]:
    row, columns = completed.row, completed.columns
    shown = [completed.shown(values) for values in (row.mean, row.low, row.high)]
    for block in _blocks(row.mean.size, BLOCK):
        numbers = [pyarrow.array(values[block].astype("<f4"), from_pandas=True) for values in shown]
        measured, calibrated = row.measured[block], row.calibrated[block]
        yield [columns.example_ids[block], columns.domains[block], *numbers, measured, calibrated, calibrated]


def _blocks(size: int, length: int) -> Iterator[slice]:
    return (slice(start, start + length) for start in range(0, size, length))


def _numbers(values: NDArray[np.float64]) -> list[str]:
    """As JSON, as exact as they are held; null where there is none."""
    return [repr(value) if value == value else "null" for value in values.tolist()]


def _json(value: bool) -> str:
    return "true" if value else "false"
