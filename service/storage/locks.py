"""Locks that last until their transaction ends, taken in one order everywhere, so that no two wait for each other.

    names (in one call)  ->  upstream set  ->  matrix  ->  tasks, by id  ->  job  ->  base values

A name is held before looking for what may have to be made: nobody else makes it in between. A row is locked before
reading what is changed. Rows are locked as an update without a change of keys would, so that whoever only refers to a
row (a new task to its matrix) need not wait. On SQLite a writing transaction is alone, and neither does anything.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from service.storage.tables import Table

T = TypeVar("T", bound=Table)
# One after the other in the order of the array, in one statement.
_HOLD = sa.select(
    sa.func.pg_advisory_xact_lock(sa.func.unnest(sa.bindparam("keys", type_=ARRAY(sa.BigInteger))).column_valued("key"))
)
Name = tuple[str, ...]  # what kind of thing, then what it is known by


def hold(session: Session, *names: Name) -> None:
    """Be the only transaction that holds these names, waiting for whoever does; before any row is locked."""
    if not names or _has_one_writer(session):
        return
    keys = sorted({_key(name) for name in names})
    session.execute(_HOLD, {"keys": keys})


def try_hold(session: Session, name: Name) -> bool:
    """Hold a name if nobody else does, without waiting."""
    return _has_one_writer(session) or bool(session.scalar(sa.select(sa.func.pg_try_advisory_xact_lock(_key(name)))))


def locked(session: Session, table: type[T], key: Any) -> T | None:
    """The row with this primary key as it is now, which nobody else changes before this transaction ends."""
    return session.get(table, key, with_for_update={"key_share": True}, populate_existing=True)


def _has_one_writer(session: Session) -> bool:
    return session.get_bind().dialect.name == "sqlite"


def _key(name: Name) -> int:
    """64 bits of a name; two names that share them wait for each other, and nothing worse."""
    return int.from_bytes(hashlib.sha256("\x1f".join(name).encode()).digest()[:8], "big", signed=True)
