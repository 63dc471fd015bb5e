"""What an error of a driver is told as: by its SQLSTATE, whatever class the driver made of it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import sqlalchemy as sa

from forgetcast.errors import (
    ConfigurationError,
    DatabaseUnavailable,
    ForgetcastError,
    InvalidRequest,
    SchemaMismatch,
    WriteConflict,
)
from service.storage.database import Database
from service.storage.failures import meaning
from service.storage.schema import check_schema
from service.storage.workers import list_workers, note_worker
from tests.workers.host.test_leases import LEASE


@pytest.mark.parametrize(
    ("state", "told"),
    [
        ("08006", DatabaseUnavailable),  # the connection is gone
        ("25006", DatabaseUnavailable),  # read-only: InternalError, says psycopg
        ("53100", DatabaseUnavailable),  # its disk is full
        ("53300", DatabaseUnavailable),  # it has too many connections
        ("57014", DatabaseUnavailable),  # an operator cancelled the statement
        ("57P01", DatabaseUnavailable),  # it shuts down
        ("57P03", DatabaseUnavailable),  # it starts up
        ("58030", DatabaseUnavailable),  # its disk fails
        ("XX000", DatabaseUnavailable),  # it has failed inside
        ("55000", DatabaseUnavailable),  # not while it recovers
        ("40001", WriteConflict),  # a statement met one of the primary's, on a standby
        ("40P01", WriteConflict),  # a deadlock
        ("55P03", WriteConflict),  # a lock was not to be had in time
        ("23505", WriteConflict),  # unique
        ("22P05", InvalidRequest),  # a character that cannot be stored
        ("54000", InvalidRequest),  # more than an index can hold
        ("42601", None),  # syntax: a defect
        ("42P01", SchemaMismatch),  # no such table
        ("42703", SchemaMismatch),  # no such column
        ("3F000", SchemaMismatch),  # no such schema
        ("42501", DatabaseUnavailable),  # its user may not
        ("42883", None),  # no such function: a defect
        ("25P02", None),  # a statement after one that has failed
    ],
)
def test_classes_of_sqlstate_decide(state: str, told: type[ForgetcastError] | None) -> None:
    raised = psycopg.errors.lookup(state)("said so")
    found = meaning(raised)
    assert type(found) is (told or type(None))
    wrapped = sa.exc.DBAPIError.instance("SELECT 1", {}, raised, psycopg.Error)
    assert type(meaning(wrapped)) is type(found)
    assert found is None or found.retryable is (told not in (InvalidRequest, SchemaMismatch))


@pytest.mark.parametrize(
    "raised",
    [
        psycopg.OperationalError("connection refused"),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.DatabaseError("lost synchronization with server"),
        sqlite3.OperationalError("database is locked"),
        sqlite3.DatabaseError("file is not a database"),
    ],
)
def test_what_has_no_sqlstate_is_a_database_that_is_not_there(raised: Exception) -> None:
    assert isinstance(meaning(raised), DatabaseUnavailable)


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "no.db").write_bytes(b"no database" * 1000)
    with pytest.raises(ConfigurationError, match=r"no\.db is no SQLite database; name a file"):
        Database(f"sqlite:///{tmp_path}/no.db")
    (tmp_path / "half.db").write_bytes(b"SQLite format 3\0" + b"no database" * 1000)
    with pytest.raises(DatabaseUnavailable, match="damaged"), Database(f"sqlite:///{tmp_path}/half.db").read():
        pass


@pytest.mark.parametrize("path", ["", "/no.db/x.db"])
def test_a_path_that_can_be_no_file_is_told(tmp_path: Path, path: str) -> None:
    (tmp_path / "no.db").write_bytes(b"no database")
    with pytest.raises(ConfigurationError, match="name a file"):
        Database(f"sqlite:///{tmp_path}{path}")


def test_a_table_that_is_not_there_says_what_to_do(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/empty.db")
    with pytest.raises(SchemaMismatch, match=r"no such table.*forgetcast migrate"), database.read() as session:
        list_workers(session, LEASE)
    with pytest.raises(SchemaMismatch, match="no tables yet"):
        check_schema(database)


def test_who_looks_for_a_database_makes_none(tmp_path: Path) -> None:
    with pytest.raises(SchemaMismatch, match=r"there is no database .*none\.db"):
        check_schema(Database(f"sqlite:///{tmp_path}/none.db"))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def promoted(postgres_database: Database) -> Iterator[Database]:
    """A Postgres that takes no writes."""
    options = postgres_database.url.query["options"]
    url = postgres_database.url.update_query_dict({"options": f"{options} -cdefault_transaction_read_only=on"})
    database = Database(url.render_as_string(hide_password=False), pool_size=2)
    yield database
    database.close()


def test_a_postgres_that_takes_no_writes_is_told_as_one_and_read_from(promoted: Database) -> None:
    about = {"host": "h", "gpu": None, "version": "1", "job_id": None}
    with pytest.raises(DatabaseUnavailable, match="takes no writes"), promoted.transaction() as session:
        note_worker(session, "w", hardware=["any"], **about)  # type: ignore[arg-type]
    with promoted.read() as session:
        assert list_workers(session, LEASE) == []


def test_a_connection_to_who_takes_no_writes_is_not_used_again(promoted: Database) -> None:
    """Its server was the primary once, and may go on answering questions out of date."""
    with promoted.read() as session:
        before = session.scalar(sa.text("SELECT pg_backend_pid()"))
    with pytest.raises(DatabaseUnavailable), promoted.transaction() as session:
        session.execute(sa.text("CREATE TABLE t (n int)"))
    with promoted.read() as session:
        assert session.scalar(sa.text("SELECT pg_backend_pid()")) != before
