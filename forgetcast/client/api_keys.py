"""API keys, for administrators: make, list, rotate, revoke."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta

from forgetcast.client.connection import Connection, made, segment
from forgetcast.errors import UnexpectedAnswer
from forgetcast.schemas import ApiKey, ApiKeyCreate, ApiKeyCreated, ApiKeyRotate, Scope


class ApiKeys:
    """`client.api_keys`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, name: str, scopes: Sequence[Scope | str], *, expires_in: timedelta | None = None) -> ApiKeyCreated:
        """A new key; no later answer shows it again.

        Raises
        ------
        UnexpectedAnswer : the key was made, but the connection broke before it was shown; the message has its id
        """
        seconds = None if expires_in is None else int(expires_in.total_seconds())
        wanted = made(ApiKeyCreate, name=name, scopes=list(scopes), expires_in=seconds)
        return self._made("/v1/api-keys", wanted)

    def rotate(self, key_id: str, *, overlap: timedelta = timedelta(days=1)) -> ApiKeyCreated:
        """A successor with the same name and scopes; the old key works for `overlap` more. Raises as `create` does."""
        wanted = made(ApiKeyRotate, overlap=int(overlap.total_seconds()))
        return self._made(f"/v1/api-keys/{segment(key_id)}/rotate", wanted)

    def list(self) -> Iterator[ApiKey]:
        return self._connection.pages(ApiKey, "/v1/api-keys")

    def get(self, key_id: str) -> ApiKey:
        return self._connection.read(ApiKey, "GET", f"/v1/api-keys/{segment(key_id)}")

    def revoke(self, key_id: str) -> ApiKey:
        """End a key; every process of the service refuses it within seconds."""
        return self._connection.read(ApiKey, "DELETE", f"/v1/api-keys/{segment(key_id)}")

    def _made(self, path: str, wanted: ApiKeyCreate | ApiKeyRotate) -> ApiKeyCreated:
        created = self._connection.read(ApiKeyCreated, "POST", path, json=wanted.model_dump(mode="json"))
        if created.key is None:  # the first answer was lost, and its replay holds no secret
            raise UnexpectedAnswer(
                f"the key {created.id} was made, but the answer that shows it was lost; revoke it and make another"
            )
        return created
