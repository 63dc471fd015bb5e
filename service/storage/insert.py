"""Insert a row unless another transaction was quicker."""

from __future__ import annotations

from typing import Any

from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from service.storage.tables import Table


def insert_absent(session: Session, table: type[Table], **values: Any) -> None:
    """Insert a row; one with the same primary key stays as it is, also when it is being inserted just now.

    On Postgres this waits for the other transaction. A read followed by an insert would let both insert, and one fail.
    """
    insert = sqlite.insert if session.get_bind().dialect.name == "sqlite" else postgresql.insert
    session.execute(insert(table).values(values).on_conflict_do_nothing())
