"""Run by Alembic. The engine comes from service.storage.schema; on its own, Alembic takes it from the settings."""

from __future__ import annotations

from alembic import context

from service.settings import read_settings
from service.storage.database import Database
from service.storage.tables import Table


def is_compared(_object: object, name: str | None, kind: str, _reflected: bool, _other: object) -> bool:
    """SQLite does not tell that a column of an index descends; on Postgres it is compared."""
    return not (kind == "index" and name == "ix_job_claim" and context.get_context().dialect.name == "sqlite")


engine = context.config.attributes.get("engine")
if engine is None:
    engine = Database(read_settings().database).engine

with engine.connect() as connection:
    if connection.dialect.name == "postgresql":
        lock_timeout = context.config.attributes.get("lock_timeout", "10s")
        connection.exec_driver_sql(f"SET lock_timeout = '{lock_timeout}'")
        connection.commit()
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        include_object=is_compared,
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
