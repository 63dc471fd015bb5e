"""Upstream sets: register, read."""

from __future__ import annotations

from collections.abc import Iterator

from forgetcast.client.connection import Connection, Content, body_of, is_parquet, made, segment
from forgetcast.errors import UpstreamSetNotFound
from forgetcast.schemas import UpstreamExample, UpstreamSet, UpstreamSetCreate

PARQUET = "application/vnd.apache.parquet"
JSONL = "application/x-ndjson"


class UpstreamSets:
    """`client.upstream_sets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, set_id: str | None = None) -> UpstreamSet:
        """A new set without examples."""
        wanted = made(UpstreamSetCreate, id=set_id).model_dump(mode="json")
        return self._connection.read(UpstreamSet, "POST", "/v1/upstream-sets", json=wanted)

    def get(self, set_id: str) -> UpstreamSet:
        return self._connection.read(UpstreamSet, "GET", f"/v1/upstream-sets/{segment(set_id)}")

    def put_examples(self, set_id: str, examples: Content, *, parquet: bool = False) -> UpstreamSet:
        """Send all examples of a set at once, which seals it."""
        headers = {"Content-Type": PARQUET if parquet else JSONL}
        path = examples_path(set_id)
        return self._connection.read(UpstreamSet, "PUT", path, body=body_of(examples), headers=headers)

    def register(self, examples: Content, *, id: str | None = None) -> UpstreamSet:
        """Create the set if it is not there, and send its examples (Parquet, or JSON Lines).

        The same examples under the same id again change nothing. Raises UpstreamSetSealed for others.
        """
        set_id = self._existing(id) or self.create(id).id
        body = body_of(examples)
        return self.put_examples(set_id, body, parquet=is_parquet(body))

    def examples(self, set_id: str) -> Iterator[UpstreamExample]:
        """All examples in order, page after page."""
        return self._connection.pages(UpstreamExample, examples_path(set_id))

    def _existing(self, set_id: str | None) -> str | None:
        try:
            return None if set_id is None else self.get(set_id).id
        except UpstreamSetNotFound:
            return None


def examples_path(set_id: str) -> str:
    return f"/v1/upstream-sets/{segment(set_id)}/examples"
