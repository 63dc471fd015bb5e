"""What a file is wrapped in: compression, and the encoding of its text. Told by its first bytes, never by its name."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import zlib
from collections.abc import Callable
from typing import Any, BinaryIO, NamedTuple

from forgetcast.errors import BadDataset, ConfigurationError, LimitExceeded

PARQUET = b"PAR1"
HEAD = 512  # bytes that tell what a file is
# A file may unpack to what it has a hundred times over, any to SMALL and none beyond LARGE.
MOST_RATIO, SMALL, LARGE = 100, 64 << 20, 8 << 30


class Compression(NamedTuple):
    name: str
    magic: bytes
    unpack: Callable[[BinaryIO], Any]


def _gunzip(source: BinaryIO) -> Any:
    return gzip.GzipFile(fileobj=source, mode="rb")


def _unzstd(source: BinaryIO) -> Any:
    try:
        import pyarrow
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "the file is compressed with zstd, which needs `pip install 'forgetcast[parquet]'`; or unpack it: zstd -d"
        ) from error
    return pyarrow.CompressedInputStream(pyarrow.PythonFile(_Lent(source), "r"), "zstd")


COMPRESSIONS = (
    Compression("gzip", b"\x1f\x8b", _gunzip),
    Compression("zstd", b"\x28\xb5\x2f\xfd", _unzstd),
)
# Recognised to say what they are; what to do is the same for all.
NAMED = {
    b"PK\x03\x04": "a zip archive, or a spreadsheet",
    b"\xfd7zXZ\x00": "compressed with xz",
    b"BZh": "compressed with bzip2",
    b"7z\xbc\xaf\x27\x1c": "a 7-Zip archive",
    b"\x04\x22\x4d\x18": "compressed with lz4",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"Obj\x01": "an Avro file",
    b"SQLite format 3": "an SQLite database",
    b"\x93NUMPY": "a NumPy array",
    b"%PDF": "a PDF",
    b"\x89HDF": "an HDF5 file",
    b"\x80\x04": "a pickle",
    b"\x80\x05": "a pickle",
}
TAR = 257, b"ustar"
MARKS = (  # of byte order; that of UTF-32 begins as that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le", "UTF-32"),
    (codecs.BOM_UTF32_BE, "utf-32-be", "UTF-32"),
    (codecs.BOM_UTF16_LE, "utf-16-le", "UTF-16"),
    (codecs.BOM_UTF16_BE, "utf-16-be", "UTF-16"),
)


class Unwrapped(NamedTuple):
    """The bytes of a file without its compression, from the start; `is_parquet` needs the file itself."""

    source: BinaryIO
    encoding: str
    names: tuple[str, ...]  # of what was taken off
    is_parquet: bool


def unwrap(source: BinaryIO) -> Unwrapped:
    """Look at a file that can be sought in, and take its compression off.

    Raises
    ------
    BadDataset : it is of a kind that is not read; the sentence names the kind
    """
    names: tuple[str, ...] = ()
    packed = source.seek(0, os.SEEK_END)
    source.seek(0)
    head = source.read(HEAD)
    source.seek(0)
    for compression in COMPRESSIONS:
        if head.startswith(compression.magic):
            names = (compression.name,)
            most = min(LARGE, max(SMALL, MOST_RATIO * packed))
            source = io.BufferedReader(_Unpacking(compression.name, compression.unpack(source), most), 1 << 16)
            head = source.peek(HEAD)[:HEAD]
            break
    if head.startswith(PARQUET):
        if names:
            raise BadDataset(
                f"the file is Parquet within {names[0]}; send the Parquet file, which is compressed itself"
            )
        return Unwrapped(source, "", ("Parquet",), True)
    _refuse_other_kinds(head, names)
    encoding, name = _encoding(head)
    return Unwrapped(source, encoding, (*names, *([name] if name else [])), False)


def _refuse_other_kinds(head: bytes, names: tuple[str, ...]) -> None:
    kind = next((kind for magic, kind in NAMED.items() if head.startswith(magic)), None)
    if head[TAR[0] :].startswith(TAR[1]):
        kind = "a tar archive"
    if kind is not None:
        within = f" within {names[0]}" if names else ""
        raise BadDataset(f"the file is {kind}{within}; send JSON Lines or Parquet, plain or compressed by gzip or zstd")


def _encoding(head: bytes) -> tuple[str, str]:
    """The codec of a text, and its name where it is not UTF-8. JSON begins with two ASCII characters, so their zero
    bytes tell an encoding without a mark."""
    for mark, codec, name in MARKS:
        if head.startswith(mark):
            return codec, name
    zeros = tuple(byte == 0 for byte in head[:4])
    if zeros == (False, True, True, True):
        return "utf-32-le", "UTF-32"
    if zeros == (True, True, True, False):
        return "utf-32-be", "UTF-32"
    if zeros[:2] == (False, True):
        return "utf-16-le", "UTF-16"
    if zeros[:2] == (True, False):
        return "utf-16-be", "UTF-16"
    return "utf-8", ""


class _Lent:
    """A file for pyarrow to read, which would close it."""

    closed = False

    def __init__(self, source: BinaryIO) -> None:
        self.read = source.read

    def close(self) -> None:
        pass


class _Unpacking(io.RawIOBase):
    """Unpacked bytes up to a limit, so that a small file cannot keep a reader busy for ever."""

    def __init__(self, name: str, unpacked: Any, most: int) -> None:
        super().__init__()
        self._name, self._unpacked, self._most, self._n_bytes = name, unpacked, most, 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        try:
            chunk = self._unpacked.read(len(buffer))
        except (OSError, EOFError, zlib.error) as error:
            raise BadDataset(f"the {self._name} file is cut off or damaged: {error}") from error
        self._n_bytes += len(chunk)
        if self._n_bytes > self._most:
            raise LimitExceeded(f"the {self._name} file unpacks to more than {self._most} bytes; send it in parts")
        buffer[: len(chunk)] = chunk
        return len(chunk)
