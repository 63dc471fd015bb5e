"""API keys for tests."""

from __future__ import annotations

from collections.abc import Sequence

from forgetcast.schemas import Scope
from service.operations.keys import new_key
from service.storage.database import Session


def create_key(session: Session, name: str, scopes: Sequence[Scope]) -> str:
    """A new key in full, for ever."""
    return str(new_key(session, name, scopes).key)
