"""What a driver's error means for who asked: decided by classes of SQLSTATE, for drivers sort errors in another way.

psycopg calls a Postgres that takes no writes, as one does while a standby is promoted, an InternalError, and a deadlock
an OperationalError like a connection that is lost.
"""

from __future__ import annotations

import re
import sqlite3

import psycopg
from sqlalchemy.exc import DBAPIError

from forgetcast.errors import DatabaseUnavailable, ForgetcastError, InvalidRequest, SchemaMismatch, WriteConflict

PASSING = (DatabaseUnavailable, WriteConflict)  # the same transaction may succeed in a moment

READ_ONLY = "25006"
FORBIDDEN = "42501"
# A schema, a table or a column that is not there: whoever made the tables is another version than this code.
ANOTHER_SCHEMA = ("3F000", "42P01", "42703")
# Connection, resources (disk, memory, connections), operator (shutdown, start-up), system, configuration, internal.
AWAY = ("08", "53", "57", "58", "F0", "XX", READ_ONLY, FORBIDDEN, "55000", "3D000", "28")
# Integrity, rollback (deadlock, serialization), a lock that was not to be had in time.
RACE = ("23", "40", "55P03")
# Data; more than the program can hold, such as a text too long for its index.
INPUT = ("22", "54")

# Without SQLSTATE: SQLite, whose errors have none, and a connection to Postgres that could not be made or is gone.
AWAY_KINDS = (psycopg.OperationalError, psycopg.InterfaceError, sqlite3.OperationalError, sqlite3.InterfaceError)
RACE_KINDS = (psycopg.IntegrityError, sqlite3.IntegrityError)
INPUT_KINDS = (psycopg.DataError, sqlite3.DataError)
DAMAGED = (psycopg.DatabaseError, sqlite3.DatabaseError)  # exactly these: no database, or no conversation with one

NO_TABLE = re.compile("no such (table|column)")  # SQLite, which calls it an OperationalError like everything else
UNREADABLE = {sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT}
NO_DATABASE = re.compile(r'database "(?P<name>[^"]+)" does not exist')


def meaning(error: BaseException) -> ForgetcastError | None:
    """What is said of a driver's error, or of SQLAlchemy's around it; None for a defect of ours."""
    cause: BaseException = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    state = getattr(cause, "sqlstate", None) or ""
    if state in ANOTHER_SCHEMA or (isinstance(cause, sqlite3.OperationalError) and NO_TABLE.match(str(cause))):
        return SchemaMismatch(f"the database has another schema: {first_line(cause)}; run `forgetcast migrate`")
    if state.startswith(AWAY) or (not state and (isinstance(cause, AWAY_KINDS) or type(cause) in DAMAGED)):
        return _away(cause, state)
    if state.startswith(RACE) or (not state and isinstance(cause, RACE_KINDS)):
        # Whoever writes has looked before: another transaction wrote the same in between.
        return WriteConflict(retry_after=1)
    if state.startswith(INPUT) or (not state and isinstance(cause, INPUT_KINDS)):
        return unstorable()
    return None


def unstorable() -> InvalidRequest:
    """What the shapes let through and a column does not hold; NUL and half of a surrogate pair, mostly."""
    return InvalidRequest("a text or a number in the request is not one that can be stored")


def is_read_only(error: BaseException) -> bool:
    """Whether a server refused because it takes no writes: another one may be the primary by now."""
    return getattr(error, "sqlstate", None) == READ_ONLY


def _away(cause: BaseException, state: str) -> DatabaseUnavailable:
    said = first_line(cause)
    if state == READ_ONLY:
        return DatabaseUnavailable(f"the database takes no writes just now: {said}", retry_after=5)
    if state == FORBIDDEN:
        return DatabaseUnavailable(f"the database refuses its user: {said}; grant it all on Forgetcast's tables")
    if getattr(cause, "sqlite_errorcode", None) in UNREADABLE:
        return DatabaseUnavailable(f"the database's file is damaged: {said}; put a copy in its place")
    absent = NO_DATABASE.search(said)
    advice = f"; `createdb {absent['name']}` makes it" if absent else ""
    return DatabaseUnavailable(f"the database does not answer: {said}{advice}", retry_after=5)


def first_line(error: BaseException) -> str:
    """Of a driver's error the first line, for the others quote the statement."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
