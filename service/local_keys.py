"""API keys of this machine's database, as `forgetcast key` without --url works with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta

from forgetcast.schemas import ApiKey, ApiKeyCreated, Scope
from service.operations import audit, keys
from service.settings import read_settings
from service.storage import schema
from service.storage.database import Database, Session


class LocalKeys:
    """The form of `client.api_keys`, straight on the database: the first key can be made no other way."""

    def create(self, name: str, scopes: Sequence[str], *, expires_in: timedelta | None = None) -> ApiKeyCreated:
        with _transaction() as session:
            created = keys.new_key(session, name, [Scope(scope) for scope in scopes], expires_in)
            audit.record(session, keys.COMMAND_LINE, "key.create", created.id, name=name, scopes=list(scopes))
            return created

    def rotate(self, key_id: str, *, overlap: timedelta) -> ApiKeyCreated:
        with _transaction() as session:
            created = keys.rotate_key(session, key_id, overlap)
            seconds = overlap.total_seconds()
            audit.record(session, keys.COMMAND_LINE, "key.rotate", key_id, successor=created.id, overlap=seconds)
            return created

    def list(self) -> Iterator[ApiKey]:
        with _database().read() as session:
            return iter(keys.list_keys(session, "", 100_000))

    def revoke(self, key_id: str) -> ApiKey:
        with _transaction() as session:
            revoked = keys.revoke_key(session, key_id)
            audit.record(session, keys.COMMAND_LINE, "key.revoke", key_id)
            return revoked


@contextmanager
def _transaction() -> Iterator[Session]:
    with _database().transaction() as session:
        yield session


def _database() -> Database:
    database = Database(read_settings().database)
    schema.check_schema(database)
    return database
