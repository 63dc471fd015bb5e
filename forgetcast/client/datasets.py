"""Fine-tuning data, named by the sha256 of its bytes."""

from __future__ import annotations

import hashlib

from forgetcast.client.connection import Body, Connection, Content, body_of


class Datasets:
    """`client.datasets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def upload(self, dataset: Content) -> str:
        """Send a file, or bytes, in any layout that `forgetcast dataset check` names; its sha256, which names it.

        Raises
        ------
        BadDataset : with line and field
        """
        body = body_of(dataset)
        sha256 = _sha256(body)
        headers = {"Content-Type": "application/x-ndjson"}
        self._connection.request("PUT", f"/v1/datasets/{sha256}", body=body, headers=headers)
        return sha256


def _sha256(dataset: Body) -> str:
    if isinstance(dataset, bytes):
        return hashlib.sha256(dataset).hexdigest()
    with dataset.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
