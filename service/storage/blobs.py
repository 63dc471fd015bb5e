"""Bytes by their sha256, in parts of 4 MiB: data sets and fitted factors."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import BinaryIO

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.insert import insert_absent
from service.storage.tables import Blob

PART_BYTES = 4 << 20


def put_blob(session: Session, source: BinaryIO) -> str:
    """Store everything that `source` has left; the same bytes are stored once. Returns their sha256."""
    start = source.tell()
    sha256 = sha256_of_file(source)
    if session.get(Blob, (sha256, 0)) is None:
        source.seek(start)
        for part, chunk in enumerate(_parts(source)):
            insert_absent(session, Blob, sha256=sha256, part=part, bytes_=chunk)
    return sha256


def sha256_of_file(source: BinaryIO) -> str:
    """sha256 of everything that `source` has left."""
    digest = hashlib.sha256()
    while chunk := source.read(PART_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def read_blob(session: Session, sha256: str) -> Iterator[bytes]:
    """The parts of a blob in order; nothing when there is none."""
    parts = sa.select(Blob.bytes_).where(Blob.sha256 == sha256).order_by(Blob.part)
    yield from session.scalars(parts.execution_options(yield_per=1))


def delete_blob(session: Session, sha256: str) -> None:
    session.execute(sa.delete(Blob).where(Blob.sha256 == sha256))


def _parts(source: BinaryIO) -> Iterator[bytes]:
    chunk = source.read(PART_BYTES)
    yield chunk  # an empty blob has one empty part
    while chunk := source.read(PART_BYTES):
        yield chunk
