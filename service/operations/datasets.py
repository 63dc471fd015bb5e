"""Fine-tuning data sets, addressed by the sha256 of their bytes."""

from __future__ import annotations

from typing import BinaryIO

from pydantic import BaseModel, ConfigDict, model_validator

from forgetcast import schemas
from forgetcast.errors import BadDataset, DatasetNotFound, LimitExceeded, Sha256Mismatch
from forgetcast.schemas import Message
from service.operations.json_lines import parse_lines
from service.storage.blobs import put_blob, read_blob, sha256_of_file
from service.storage.database import Session
from service.storage.insert import insert_absent
from service.storage.tables import Dataset


class DatasetLine(BaseModel):
    """One line: {text}, {prompt, completion} or {messages} with a reply. Other fields of a line are left alone."""

    model_config = ConfigDict(extra="ignore", strict=True)

    text: str | None = None
    prompt: str | None = None
    completion: str | None = None
    messages: list[Message] | None = None

    @model_validator(mode="after")
    def _one_form(self) -> DatasetLine:
        forms = [
            self.text is not None,
            self.prompt is not None or self.completion is not None,
            self.messages is not None,
        ]
        if sum(forms) != 1:
            raise ValueError("a line has `text`, or `prompt` and `completion`, or `messages`")
        if (self.prompt is None) != (self.completion is None):
            raise ValueError("`prompt` and `completion` come together")
        if self.messages is not None and not any(message.role == "assistant" for message in self.messages):
            raise ValueError("`messages` has no turn of the assistant to learn from")
        return self


def store_dataset(session: Session, sha256: str, source: BinaryIO, max_lines: int) -> tuple[schemas.Dataset, bool]:
    """Check and keep a data set, and say whether it is new.

    Raises
    ------
    Sha256Mismatch : the bytes are others than the path names
    InvalidRequest : a line that cannot be used, with its number and field
    BadDataset : no line at all
    """
    found = session.get(Dataset, sha256)
    if found is not None:
        return _view(found), False
    actual = sha256_of_file(source)
    if actual != sha256:
        raise Sha256Mismatch(f"the bytes have sha256 {actual}, the path names {sha256}")
    source.seek(0)
    n_lines = 0
    for _number, _line in parse_lines(source, DatasetLine):
        n_lines += 1
        if n_lines > max_lines:
            raise LimitExceeded(f"a data set has at most {max_lines} lines here (FORGETCAST_MAX_DATASET_LINES)")
    if n_lines == 0:
        raise BadDataset("the data set is empty; send one JSON object a line")
    n_bytes = source.tell()
    source.seek(0)
    put_blob(session, source)
    insert_absent(session, Dataset, sha256=sha256, n_lines=n_lines, n_bytes=n_bytes)
    return _view(session.get_one(Dataset, sha256)), True


def read_dataset(session: Session, sha256: str) -> bytes:
    """All bytes of a data set. Raises DatasetNotFound."""
    if session.get(Dataset, sha256) is None:
        raise DatasetNotFound(f"no data set has the sha256 {sha256}; PUT it to /v1/datasets/{sha256} first")
    return b"".join(read_blob(session, sha256))


def _view(found: Dataset) -> schemas.Dataset:
    return schemas.Dataset(sha256=found.sha256, n_lines=found.n_lines, n_bytes=found.n_bytes)
