"""Fine-tuning data sets, addressed by the sha256 of their bytes; forgetcast.layouts says what is in them."""

from __future__ import annotations

from typing import BinaryIO

from forgetcast import layouts, schemas
from forgetcast.errors import DatasetNotFound, Sha256Mismatch
from service.storage.blobs import put_blob, read_blob, sha256_of_file
from service.storage.database import Session
from service.storage.insert import insert_absent
from service.storage.tables import Dataset


def store_dataset(session: Session, sha256: str, source: BinaryIO, max_lines: int) -> tuple[schemas.Dataset, bool]:
    """Check and keep a data set as it was sent, and say what it is read as and whether it is new.

    Raises
    ------
    Sha256Mismatch : the bytes are others than the path names
    BadDataset : an example that cannot be used, with its line and field, or nothing to learn from
    LimitExceeded
    """
    found = session.get(Dataset, sha256)
    if found is not None:
        return _view(found), False
    actual = sha256_of_file(source)
    if actual != sha256:
        raise Sha256Mismatch(f"the bytes have sha256 {actual}, the path names {sha256}")
    surveyed = layouts.survey(source, max_lines)
    read_as = schemas.ReadAs(layout=surveyed.layout, version=layouts.VERSION, sentence=surveyed.sentence)
    n_bytes = source.seek(0, 2)
    source.seek(0)
    put_blob(session, source)
    insert_absent(
        session,
        Dataset,
        sha256=sha256,
        n_lines=surveyed.n_examples,
        n_bytes=n_bytes,
        read_as=read_as.model_dump(mode="json"),
    )
    return _view(session.get_one(Dataset, sha256)), True


def read_dataset(session: Session, sha256: str) -> bytes:
    """All bytes of a data set. Raises DatasetNotFound."""
    if session.get(Dataset, sha256) is None:
        raise DatasetNotFound(f"no data set has the sha256 {sha256}; PUT it to /v1/datasets/{sha256} first")
    return b"".join(read_blob(session, sha256))


def _view(found: Dataset) -> schemas.Dataset:
    return schemas.Dataset.model_validate(
        {"sha256": found.sha256, "n_lines": found.n_lines, "n_bytes": found.n_bytes, "read_as": found.read_as}
    )
