"""Which schema the database has, and bringing it to the one this code needs."""

from __future__ import annotations

import logging
import time
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

from forgetcast.errors import SchemaMismatch, WriteConflict
from service.storage.database import Database, answering, sqlite_file

CHECKOUT = Path(__file__).parents[2]
MIGRATION_LOCK = 0x666F7267  # "forg", the key of the advisory lock on Postgres
LOOK_AGAIN_AFTER = 0.5  # seconds, while another process migrates
LOCK_TIMEOUT = "10s"  # of Postgres, for the lock of a table
TRIES, PAUSE = 20, 5.0  # and seconds in between: about five minutes

log = logging.getLogger(__name__)


def check_schema(database: Database) -> None:
    """Raises SchemaMismatch, saying which way, unless the database has exactly the schema of this code."""
    file = sqlite_file(database.url)
    if file is not None and not file.exists():  # looking for its tables would make an empty one
        raise SchemaMismatch(
            f"there is no database {file}; where the service has another, name it by FORGETCAST_HOME or "
            f"FORGETCAST_DATABASE_URL, else `forgetcast migrate` makes this one"
        )
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
    """Bring the database to this code's schema, one process at a time. Returns the schema's revision.

    It takes as long as it takes, whatever the patience of `database`: a step, and whoever migrates before us, may be
    silent for minutes. Raises SchemaMismatch for a newer schema, and WriteConflict when a table is never free.
    """
    patient = Database(database.url.render_as_string(hide_password=False), patience=None)
    try:
        with answering(), _alone(patient):
            found = current(patient)
            if found is not None and found not in {script.revision for script in _scripts().walk_revisions()}:
                check_schema(patient)
            _upgrade(patient)
    finally:
        patient.close()
    return head()


def _upgrade(database: Database) -> None:
    """All steps in one transaction, again while others hold a table for longer than a step may wait for its lock.

    A step that waits makes everybody wait who comes after it, so it does not wait for long.
    """
    config = _config()
    config.attributes |= {"engine": database.engine, "lock_timeout": LOCK_TIMEOUT}
    for further in reversed(range(TRIES)):
        try:
            with answering():
                return upgrade(config, "head")
        except WriteConflict as conflict:
            if not further:
                raise WriteConflict(
                    "the migration does not get the lock of a table; end the transactions that are open for long "
                    "(pg_stat_activity), and run it again"
                ) from conflict
            log.warning("a table that the migration changes is in use; it is tried again")
            time.sleep(PAUSE)


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
        told = False
        while not connection.scalar(sa.select(sa.func.pg_try_advisory_lock(MIGRATION_LOCK))):
            if not told:
                log.warning("another process migrates the database; waiting for it")
            told = True
            time.sleep(LOOK_AGAIN_AFTER)
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
