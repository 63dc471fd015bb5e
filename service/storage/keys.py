"""API keys by id."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa
from sqlalchemy.orm import Session

from forgetcast.errors import ApiKeyNotFound
from service.storage.database import insert, now
from service.storage.locks import locked
from service.storage.tables import ApiKey


def insert_key(
    session: Session, key_id: str, name: str, secret_sha256: str, scopes: list[str], expires_in: float | None
) -> ApiKey:
    """A new key; `expires_in` seconds on the database's clock, None for never."""
    expires_at = None if expires_in is None else now() + expires_in
    key = ApiKey(id=key_id, name=name, secret_sha256=secret_sha256, scopes=scopes, expires_at=expires_at)
    return insert(session, key)


def find_live_key(session: Session, key_id: str) -> ApiKey | None:
    """The key with this id, unless it is revoked or has expired."""
    return session.scalar(sa.select(ApiKey).where(ApiKey.id == key_id, *_live()))


def live_keys(session: Session) -> Sequence[sa.Row[str, str, list[str]]]:
    """Id, sha256 of the secret and scopes of every key that is neither revoked nor expired."""
    return session.execute(sa.select(ApiKey.id, ApiKey.secret_sha256, ApiKey.scopes).where(*_live())).all()


def get_key(session: Session, key_id: str, *, lock: bool = False) -> ApiKey:
    """The key with this id, dead or alive. Raises ApiKeyNotFound."""
    found = locked(session, ApiKey, key_id) if lock else session.get(ApiKey, key_id)
    if found is None:
        raise ApiKeyNotFound(f"no API key has the id {key_id!r}")
    return found


def list_keys(session: Session, after: str, limit: int) -> Sequence[ApiKey]:
    return session.scalars(sa.select(ApiKey).where(ApiKey.id > after).order_by(ApiKey.id).limit(limit)).all()


def end_key(session: Session, key: ApiKey, within: float) -> None:
    """Let a key end in `within` seconds, or earlier if it would anyway; 0 revokes it. An ended key stays as it is."""
    ending = sa.update(ApiKey).where(ApiKey.id == key.id)
    if within <= 0:
        ending = ending.where(ApiKey.revoked_at.is_(None)).values(revoked_at=now())
    else:
        would_outlive = sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now() + within)
        ending = ending.where(would_outlive).values(expires_at=now() + within)
    session.execute(ending)
    session.refresh(key)


def _live() -> tuple[sa.ColumnElement[bool], ...]:
    return ApiKey.revoked_at.is_(None), sa.or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now())


def any_key(session: Session) -> bool:
    return session.scalar(sa.select(ApiKey.id).limit(1)) is not None
