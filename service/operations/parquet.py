"""Parquet in and out, through pyarrow."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

import pyarrow
import pyarrow.parquet

from forgetcast.errors import InvalidRequest
from service.operations.parquet_limits import open_checked

ROWS_A_BATCH = 2000


def read_rows(source: BinaryIO, columns: Sequence[str] | None = None) -> Iterator[dict[str, Any]]:
    """Rows of a Parquet file, a batch in memory at a time, of these columns or of all.

    Raises
    ------
    InvalidRequest : it is not a Parquet file, or lacks one of the columns
    """
    try:
        file = open_checked(source)
        absent = [name for name in columns or () if name not in file.schema_arrow.names]
        if absent:
            raise InvalidRequest(f"the Parquet file has no column {absent[0]!r}")
        for batch in file.iter_batches(ROWS_A_BATCH, columns=columns):
            yield from batch.to_pylist()
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise InvalidRequest(
            f"the body is not a Parquet file that can be read: {str(error).splitlines()[0]}"
        ) from error


def write_table(columns: Mapping[str, Any]) -> bytes:
    """Columns of equal length as a Parquet file."""
    table = pyarrow.table(dict(columns))
    return b"".join(parquet_chunks(table.schema, [table.columns]))


def parquet_chunks(schema: pyarrow.Schema, blocks: Iterable[Sequence[Any]]) -> Generator[bytes]:
    """A Parquet file, a row group for each block of columns; the same blocks give the same bytes."""
    sink = _Sink()
    with pyarrow.parquet.ParquetWriter(sink, schema, compression="zstd") as writer:
        for block in blocks:
            arrays = [_array(column, field.type) for column, field in zip(block, schema, strict=True)]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema), row_group_size=1 << 20)
            yield sink.taken()
    yield sink.taken()


def _array(column: Any, kind: pyarrow.DataType) -> Any:
    return column if isinstance(column, pyarrow.Array | pyarrow.ChunkedArray) else pyarrow.array(column, kind)


class _Sink(io.RawIOBase):
    """A file that keeps what is written only until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._chunks: list[bytes] = []
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, chunk: Any) -> int:
        self._chunks.append(bytes(chunk))
        self._position += len(chunk)
        return len(chunk)

    def tell(self) -> int:
        return self._position

    def taken(self) -> bytes:
        chunks, self._chunks = self._chunks, []
        return b"".join(chunks)
