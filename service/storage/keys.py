"""API keys by id."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.tables import ApiKey


def insert_key(session: Session, key_id: str, name: str, secret_sha256: str, scopes: list[str]) -> None:
    session.add(ApiKey(id=key_id, name=name, secret_sha256=secret_sha256, scopes=scopes))
    session.flush()


def find_key(session: Session, key_id: str) -> ApiKey | None:
    return session.get(ApiKey, key_id)


def any_key(session: Session) -> bool:
    return session.scalar(sa.select(ApiKey.id).limit(1)) is not None
