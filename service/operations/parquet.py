"""Parquet files as they are sent; forgetcast/layouts/parquet.py reads them."""

from __future__ import annotations

import io
from collections.abc import Generator, Iterable, Mapping, Sequence
from typing import Any

import pyarrow
import pyarrow.parquet


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
