"""Which schema the database has, and bringing it to the one this code needs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic.command import upgrade
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from filelock import FileLock

from forgetcast.errors import SchemaMismatch
from service.storage.database import Database, answering

CHECKOUT = Path(__file__).parents[2]
MIGRATION_LOCK = 0x666F7267  # "forg", the key of the advisory lock on Postgres


def check_schema(database: Database) -> None:
    """Raises SchemaMismatch, saying which way, unless the database has exactly the schema of this code."""
    wanted, found = head(), current(database)
    if found == wanted:
        return
    if found is None:
        raise SchemaMismatch("the database has no tables yet; run `forgetcast migrate`")
    known = {script.revision for script in _scripts().walk_revisions()}
    if found in known:
        raise SchemaMismatch(f"the database has the older schema {found}; run `forgetcast migrate`")
    raise SchemaMismatch(f"the database has the schema {found} of a newer Forgetcast; upgrade this one")


def migrate(database: Database) -> str:
    """Bring the database to this code's schema, one process at a time. Returns the schema's revision."""
    with answering(), _alone(database):
        found = current(database)
        if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
            check_schema(database)
        config = _config()
        config.attributes["engine"] = database.engine
        upgrade(config, "head")
    return head()


def head() -> str:
    """The revision this code needs."""
    return str(_scripts().get_current_head())


def current(database: Database) -> str | None:
    """The revision the database has; None when it has none."""
    with database.read() as session:
        return MigrationContext.configure(session.connection()).get_current_revision()


@contextmanager
def _alone(database: Database) -> Iterator[None]:
    """A session lock on Postgres, a file lock beside the SQLite file: two migrations at once would both fail."""
    if database.is_sqlite:
        with FileLock(f"{database.url.database}.migrating"):
            yield
        return
    with database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.select(sa.func.pg_advisory_lock(MIGRATION_LOCK)))
        try:
            yield
        finally:
            connection.execute(sa.select(sa.func.pg_advisory_unlock(MIGRATION_LOCK)))


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    return config


@cache
def _scripts() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
