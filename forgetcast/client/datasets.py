"""Fine-tuning data, named by the sha256 of its bytes."""

from __future__ import annotations

import hashlib
from pathlib import Path

from forgetcast.client.connection import Connection


class Datasets:
    """`client.datasets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(self, dataset: Path | bytes) -> str:
        """Send JSONL of {text}, {prompt, completion} or {messages}; its sha256, which names it from now on.

        Raises
        ------
        BadDataset : with line and field
        """
        sha256 = _sha256(dataset)
        headers = {"Content-Type": "application/x-ndjson"}
        self._connection.request("PUT", f"/v1/datasets/{sha256}", body=dataset, headers=headers)
        return sha256


def _sha256(dataset: Path | bytes) -> str:
    if isinstance(dataset, bytes):
        return hashlib.sha256(dataset).hexdigest()
    with dataset.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
