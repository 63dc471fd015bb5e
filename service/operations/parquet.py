"""Parquet in and out, through pyarrow."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from forgetcast.errors import InvalidRequest

ROWS_A_BATCH = 2000


def read_rows(source: BinaryIO) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, a batch in memory at a time. Raises InvalidRequest when it is not one."""
    try:
        file = pyarrow.parquet.ParquetFile(source)
        for batch in file.iter_batches(ROWS_A_BATCH):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError) as error:
        raise InvalidRequest(
            f"the body is not a Parquet file that can be read: {str(error).splitlines()[0]}"
        ) from error


def write_table(columns: Mapping[str, Any]) -> bytes:
    """Columns of equal length as a Parquet file; the same columns give the same bytes."""
    target = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.table(dict(columns)), target, compression="zstd")
    return target.getvalue()
