"""What answers rest on, read on a connection that is kept: right, and there again after the server was not."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import uuid
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeVar

import pytest
import sqlalchemy as sa

from forgetcast.errors import DatabaseUnavailable
from service.storage.database import Database
from service.storage.tables import Fit
from service.storage.versions import TaskVersions, VersionsStatement, versions_statement
from tests.storage.rows import add_task
from tests.storage.statements import recorded

MODEL_VERSION = 3
T = TypeVar("T")


def asked(database: Database, ask: Callable[[VersionsStatement], Awaitable[T]]) -> T:
    async def run() -> T:
        statement = versions_statement(database, MODEL_VERSION)
        try:
            return await ask(statement)
        finally:
            await statement.close()

    return asyncio.run(run())


def add_fit(database: Database, version: int, *, model_version: int = MODEL_VERSION, tested: bool = False) -> None:
    with database.transaction() as session:
        fit = Fit(matrix_id="m", matrix_version=version, model_version=model_version, tested=tested)
        fit.arrays_sha256 = "0" * 64
        session.add(fit)


def new_task(database: Database) -> str:
    with database.transaction() as session:
        return add_task(session).id


def test_the_newest_fit_of_this_model_version_counts_and_unknown_tasks_are_left_out(database: Database) -> None:
    first, second = new_task(database), new_task(database)
    unfitted = asked(database, lambda statement: statement.versions([first]))
    assert unfitted == {first: TaskVersions(first, "m", 0, None, False)}
    add_fit(database, 1, tested=True)
    add_fit(database, 2)
    add_fit(database, 3, model_version=MODEL_VERSION - 1)
    found = asked(database, lambda statement: statement.versions([second, "nobody", first]))
    assert found == {task: TaskVersions(task, "m", 0, 2, False) for task in (first, second)}


def test_the_kept_connection_sees_what_was_committed_since(database: Database) -> None:
    task = new_task(database)

    async def twice(statement: VersionsStatement) -> list[int | None]:
        before = await statement.versions([task])
        add_fit(database, 1)
        return [found[task].fitted_version for found in (before, await statement.versions([task]))]

    assert asked(database, twice) == [None, 1]


def test_sqlite_is_asked_again_only_when_something_was_committed(sqlite_database: Database) -> None:
    task, other = new_task(sqlite_database), new_task(sqlite_database)

    async def counted(statement: VersionsStatement) -> list[int]:
        counts = []
        for act in (None, None, lambda: add_fit(sqlite_database, 1), None, lambda: _elsewhere(sqlite_database, task)):
            if act is not None:
                act()
            with recorded(sqlite_database) as sent:
                await statement.versions([task])
                await statement.versions([task, other])
            counts.append(len(sent))
        found = (await statement.versions([task]))[task]
        assert (found.fitted_version, found.row_version) == (1, 7)
        return counts

    assert asked(sqlite_database, counted) == [2, 0, 2, 0, 2]


def test_what_is_committed_while_nobody_looks_is_seen(sqlite_database: Database) -> None:
    task = new_task(sqlite_database)

    async def later(statement: VersionsStatement) -> list[int | None]:
        found = []
        for version in range(1, 4):
            add_fit(sqlite_database, version)
            found.append((await statement.versions([task]))[task].fitted_version)
            await statement.close()
        return found

    assert asked(sqlite_database, later) == [1, 2, 3]


def _elsewhere(database: Database, task_id: str) -> None:
    """Another process than the service's."""
    program = (
        "import sqlite3, sys; connection = sqlite3.connect(sys.argv[1]); "
        "connection.execute('UPDATE task SET row_version = 7 WHERE id = ?', sys.argv[2:]); connection.commit()"
    )
    subprocess.run([sys.executable, "-c", program, str(database.url.database), task_id], check=True)


def test_it_may_be_asked_again_after_it_was_closed(database: Database) -> None:
    task = new_task(database)

    async def closed(statement: VersionsStatement) -> list[str]:
        await statement.close()
        await statement.versions([task])
        await statement.close()
        return list(await statement.versions([task]))

    assert asked(database, closed) == [task]


def test_a_connection_that_the_server_closed_is_made_again(postgres_database: Database) -> None:
    task, name = new_task(postgres_database), uuid.uuid4().hex
    named = Database(postgres_database.url.update_query_dict({"application_name": name}).render_as_string(False))
    end = sa.text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = :name")

    async def cut_off(statement: VersionsStatement) -> list[str]:
        await statement.versions([task])
        with postgres_database.read() as session:
            assert session.scalars(end, {"name": name}).all() == [True]
        return list(await statement.versions([task]))

    assert asked(named, cut_off) == [task]
    named.close()


def test_a_silent_server_is_given_up_and_asked_again(postgres_database: Database) -> None:
    task = new_task(postgres_database)
    impatient = Database(postgres_database.url.render_as_string(False), patience=timedelta(seconds=1))

    async def locked_out(statement: VersionsStatement) -> list[str]:
        await statement.versions([task])
        with postgres_database.transaction() as session:
            session.execute(sa.text("LOCK TABLE task IN ACCESS EXCLUSIVE MODE"))
            with pytest.raises(DatabaseUnavailable, match="no answer within 1 s"):
                await statement.versions([task])
        return list(await statement.versions([task]))

    assert asked(impatient, locked_out) == [task]
    impatient.close()


def test_nobody_there_is_said_as_such() -> None:
    with pytest.raises(DatabaseUnavailable, match="does not answer"):
        asked(
            Database("postgresql+psycopg://127.0.0.1:1/nobody"),
            lambda statement: statement.versions(["task"]),
        )
