"""What forecasts of several tasks rest on, in one statement: the cheapest read that says whether an answer holds."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import psycopg
import sqlalchemy as sa
from cachetools import LRUCache
from sqlalchemy.dialects.postgresql import ARRAY

from service.storage.database import Database
from service.storage.failures import meaning
from service.storage.postgres import ImpatientAsyncConnection, ServerSilent, with_limit
from service.storage.tables import Fit, Task

REMEMBERED = 10_000  # tasks


@dataclass(frozen=True)
class TaskVersions:
    """A task's matrix and row version, and the newest fitted matrix version, None without any fit.

    `tested`: whether that fit is back-tested; until then a summary has no quality to show.
    """

    task_id: str
    matrix_id: str
    row_version: int
    fitted_version: int | None
    tested: bool


class VersionsStatement(Protocol):
    """The statement, asked from an event loop by one task at a time."""

    async def versions(self, task_ids: Sequence[str]) -> dict[str, TaskVersions]:
        """By task id; tasks that do not exist are left out. Raises DatabaseUnavailable."""

    async def close(self) -> None:
        """Give back the thread or connection; the next question takes another."""


def versions_statement(database: Database, model_version: int) -> VersionsStatement:
    """Over fits of this version of the model."""
    return (_OnSqlite if database.is_sqlite else _OnPostgres)(database, model_version)


class _OnSqlite:
    """In a thread of its own, for anyio's way to a thread costs three times as much; what was found is remembered until
    SQLite says that anything was committed, which costs a fortieth of asking again."""

    def __init__(self, database: Database, model_version: int) -> None:
        self._database = database
        self._model_version = model_version
        self._statement = _select(Task.id.in_(sa.bindparam("ids", expanding=True, type_=sa.String)))
        self._thread: ThreadPoolExecutor | None = None
        self._commits = _Commits(database)
        self._known: LRUCache[str, TaskVersions] = LRUCache(REMEMBERED)
        self._known_at: int | None = None  # the number of commits, as it was before they were read

    async def versions(self, task_ids: Sequence[str]) -> dict[str, TaskVersions]:
        before = self._commits.number()
        if before is None or before != self._known_at:
            self._known.clear()
        self._known_at = before
        found = {task_id: self._known[task_id] for task_id in task_ids if task_id in self._known}
        if len(found) == len(task_ids):
            return found
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "versions")
        found = await asyncio.get_running_loop().run_in_executor(self._thread, self._read, task_ids)
        if before is not None and before == self._known_at:
            self._known.update(found)
        return found

    def _read(self, task_ids: Sequence[str]) -> dict[str, TaskVersions]:
        asked = {"ids": list(task_ids), "model_version": self._model_version}
        with self._database.statement() as connection:
            return _by_task(connection.execute(self._statement, asked).all())

    async def close(self) -> None:
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)
        self._commits.close()
        self._known_at = None  # the next connection counts from anywhere


class _Commits:
    """Whether anything was committed to a SQLite file since the last look, by any process: its `data_version`.

    A look reads a few bytes that all processes share and waits for nobody, so the event loop takes it itself.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None

    def number(self) -> int | None:
        """Another one after each commit of another connection; None where SQLite does not tell at once."""
        try:
            if self._connection is None:
                self._connection = self._connected()
            found = self._connection.execute("PRAGMA data_version").fetchone()
        except sqlite3.Error:
            return None
        return int(found[0])

    def _connected(self) -> sqlite3.Connection:
        """It writes nothing, so every commit is another connection's."""
        places: Any
        options: Any
        places, options = self._database.engine.dialect.create_connect_args(self._database.url)
        connection: sqlite3.Connection = sqlite3.connect(*places, **options)
        connection.isolation_level = None
        connection.execute("PRAGMA busy_timeout=0")
        return connection

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()


class _OnPostgres:
    """On a connection of its own, which the event loop waits for.

    By way of the pool and a thread it was half of what a warm read cost: a ping, a switch to autocommit, the list of
    ids compiled into the statement, and two threads that wait for each other.
    """

    def __init__(self, database: Database, model_version: int) -> None:
        self._database = database
        self._model_version = model_version
        dialect = database.engine.dialect
        wanted = _select(Task.id == sa.any_(sa.bindparam("ids", type_=ARRAY(sa.String))))
        self._statement = str(wanted.compile(dialect=dialect))
        self._address = dialect.create_connect_args(database.url)[1]
        self._cursor: psycopg.AsyncCursor[Any] | None = None

    async def versions(self, task_ids: Sequence[str]) -> dict[str, TaskVersions]:
        asked = {"ids": list(task_ids), "model_version": self._model_version}
        try:
            return _by_task(await self._rows(asked))
        except psycopg.Error as error:
            await self.close()
            raise meaning(error) or error from error

    async def _rows(self, asked: dict[str, Any]) -> list[Any]:
        if self._cursor is not None:
            try:
                return await (await self._cursor.execute(self._statement, asked)).fetchall()
            except ServerSilent:
                raise
            except psycopg.Error:
                await self.close()  # the server was restarted, maybe; a new connection tells
        self._cursor = await self._connected()
        return await (await self._cursor.execute(self._statement, asked)).fetchall()

    async def _connected(self) -> psycopg.AsyncCursor[Any]:
        seconds = None if self._database.patience is None else self._database.patience.total_seconds()
        connection = await ImpatientAsyncConnection.connect(**with_limit(self._address, seconds), autocommit=True)
        connection.patience = seconds
        return connection.cursor()

    async def close(self) -> None:
        cursor, self._cursor = self._cursor, None
        if cursor is not None:
            with suppress(psycopg.Error):
                await cursor.connection.close()


def _by_task(rows: Sequence[Any]) -> dict[str, TaskVersions]:
    return {row[0]: TaskVersions(row[0], row[1], row[2], row[3], bool(row[4])) for row in rows}


def _select(among: sa.ColumnElement[bool]) -> sa.Select[str, str, int, int | None, bool | None]:
    model_version = sa.bindparam("model_version", type_=sa.Integer)
    older = sa.alias(Fit.__table__)
    newest = (
        sa.select(sa.func.max(older.c.matrix_version))
        .where(older.c.matrix_id == Task.matrix_id, older.c.model_version == model_version)
        .correlate(Task)
        .scalar_subquery()
    )
    same = sa.and_(Fit.matrix_id == Task.matrix_id, Fit.matrix_version == newest, Fit.model_version == model_version)
    return (
        sa.select(Task.id, Task.matrix_id, Task.row_version, Fit.matrix_version, Fit.tested)
        .outerjoin(Fit, same)
        .where(among)
    )
