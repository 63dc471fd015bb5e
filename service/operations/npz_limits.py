"""Files of numpy from outside are looked over before anything of them is unpacked."""

from __future__ import annotations

import math
import os
import zipfile
from typing import BinaryIO

from numpy.lib import format as npy

from forgetcast.errors import LimitExceeded, UnreadableMatrix

MOST_ARRAYS = 64
MOST_RATIO = 100  # of unpacked to packed bytes, beyond SMALL
SMALL = 64 << 20  # bytes that any file may unpack to
HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


def check_npz(source: BinaryIO) -> None:
    """Refuse what would unpack to too much, and arrays that promise other bytes than they have.

    Raises
    ------
    LimitExceeded
    UnreadableMatrix : it is no such file
    """
    packed = source.seek(0, os.SEEK_END)
    try:
        with zipfile.ZipFile(source) as archive:
            members = archive.infolist()
            unpacked = sum(member.file_size for member in members)
            for what, found, most in (
                ("arrays", len(members), MOST_ARRAYS),
                ("bytes once it is unpacked", unpacked, max(SMALL, MOST_RATIO * packed)),
            ):
                if found > most:
                    raise LimitExceeded(f"the file has {found} {what}; at most {most} are read")
            for member in members:
                _check_header(archive, member)
    except (OSError, ValueError, KeyError, EOFError, NotImplementedError, RuntimeError, zipfile.BadZipFile) as error:
        raise UnreadableMatrix(f"the body is no npz file that can be read: {error}") from error
    source.seek(0)


def _check_header(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
    with archive.open(member) as stream:
        shape, _fortran, dtype = HEADERS[npy.read_magic(stream)](stream)
        promised = stream.tell() + math.prod(shape) * dtype.itemsize
    if promised != member.file_size or min(shape, default=0) < 0:
        raise UnreadableMatrix(f"the array {member.filename!r} has other bytes than its header says")
