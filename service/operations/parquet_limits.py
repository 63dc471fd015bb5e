"""Parquet files from outside are looked over before anything of them is unpacked."""

from __future__ import annotations

import os
from typing import BinaryIO

import pyarrow.parquet

from forgetcast.errors import LimitExceeded

MOST_COLUMNS = 64
MOST_ROWS = 20_000_000
MOST_RATIO = 100  # of unpacked to packed bytes, beyond SMALL
SMALL = 64 << 20  # bytes that any file may unpack to
LONGEST_NAME = 1 << 20  # bytes of one text in the footer
MOST_ENTRIES = 1_000_000  # of one list in the footer


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
