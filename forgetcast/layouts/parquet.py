"""Parquet files from outside are looked over before anything of them is unpacked. Needs pyarrow."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from forgetcast.errors import InvalidRequest, LimitExceeded

MOST_COLUMNS = 64
MOST_ROWS = 20_000_000
MOST_RATIO = 100  # of unpacked to packed bytes, beyond SMALL
SMALL = 64 << 20  # bytes that any file may unpack to
LONGEST_NAME = 1 << 20  # bytes of one text in the footer
MOST_ENTRIES = 1_000_000  # of one list in the footer
ROWS_A_BATCH = 2000
INDEX = "__index_level_"  # how pandas calls a column of its own


def read_rows(source: BinaryIO, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, a batch in memory at a time, of these columns or of all but the index of pandas.

    Raises
    ------
    InvalidRequest : it is not a Parquet file, or lacks one of the columns
    LimitExceeded
    """
    try:
        file = open_checked(source)
        names = file.schema_arrow.names
        absent = [name for name in columns or () if name not in names]
        if absent:
            raise InvalidRequest(f"the Parquet file has no column {absent[0]!r}")
        wanted = columns or [name for name in names if not name.startswith(INDEX)]
        for batch in file.iter_batches(ROWS_A_BATCH, columns=wanted):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        said = str(error).splitlines()[0]
        raise InvalidRequest(f"the body is not a Parquet file that can be read: {said}") from error


def open_checked(source: BinaryIO) -> pyarrow.parquet.ParquetFile:
    """A Parquet file whose footer promises no more than can be read here.

    Raises
    ------
    LimitExceeded : columns, rows or unpacked bytes
    pyarrow.ArrowException : it is not a Parquet file
    """
    packed = source.seek(0, os.SEEK_END)
    source.seek(0)
    file = pyarrow.parquet.ParquetFile(
        source, thrift_string_size_limit=LONGEST_NAME, thrift_container_size_limit=MOST_ENTRIES
    )
    footer = file.metadata
    unpacked = sum(footer.row_group(group).total_byte_size for group in range(footer.num_row_groups))
    for what, found, most in (
        ("columns", footer.num_columns, MOST_COLUMNS),
        ("rows", footer.num_rows, MOST_ROWS),
        ("bytes once it is unpacked", unpacked, max(SMALL, MOST_RATIO * packed)),
    ):
        if found > most:
            raise LimitExceeded(f"the Parquet file has {found} {what}; at most {most} are read")
    return file
