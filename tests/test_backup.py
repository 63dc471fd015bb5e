"""Backups are taken while jobs run, with the database's own tools; what is restored goes on."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from forgetcast.schemas import JobState
from service.storage.database import Database
from service.storage.events import list_events
from service.storage.jobs import get_job
from service.storage.schema import check_schema, migrate
from service.storage.tables import Job, Measurement
from tests.conftest import POSTGRES
from tests.storage.rows import add_job
from tests.workers.supervised import SHORT, child_pids, eventually

WITHIN = SHORT.lease.total_seconds() + 30  # one lease, and room for a busy machine


@contextmanager
def worker(url: str, folder: Path, behaviour: str) -> Iterator[subprocess.Popen[bytes]]:
    """A worker of its own process over fake children; killed at the end, as in a disaster."""
    folder.mkdir()
    process = subprocess.Popen([sys.executable, "-m", "tests.workers.supervised", url, str(folder), behaviour])
    try:
        yield process
    finally:
        process.kill()
        process.wait(30)


def submit(database: Database, n_jobs: int) -> list[str]:
    with database.transaction() as session:
        return [add_job(session).id for _ in range(n_jobs)]


def job(database: Database, job_id: str) -> Job:
    with database.read() as session:
        return get_job(session, job_id)


def counts(database: Database) -> list[int]:
    with database.read() as session:
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) or 0 for table in (Job, Measurement)]


def goes_on(restored: Database, running: str, waiting: str, folder: Path) -> None:
    """What holds after a restore: the job that ran is lost within one lease and done again under a higher fence."""
    check_schema(restored)
    before = job(restored, running)
    assert (before.state, before.attempt, before.fence) == (JobState.RUNNING, 1, 1)
    assert job(restored, waiting).state == JobState.QUEUED
    began = time.monotonic()
    with worker(restored.url.render_as_string(hide_password=False), folder, "succeed"):
        eventually(lambda: job(restored, running).fence > before.fence, WITHIN)
        assert time.monotonic() - began < WITHIN
        eventually(lambda: [job(restored, one).state for one in (running, waiting)] == [JobState.SUCCEEDED] * 2)
    after = job(restored, running)
    assert (after.attempt, after.fence) == (2, 3)  # a reap and a claim
    with restored.read() as session:
        codes = [event.data.get("code") for event in list_events(session, running, 0, 100) if event.type == "state"]
    assert codes == [None, None, "worker_lost", None, None]
    assert counts(restored) == [2, 2]


def test_a_copy_of_sqlite_taken_while_a_job_runs_goes_on(tmp_path: Path) -> None:
    original = Database(f"sqlite:///{tmp_path / 'original.db'}")
    migrate(original)
    running, waiting = submit(original, 2)
    vacuumed, copied = tmp_path / "vacuumed.db", tmp_path / "copied.db"
    with worker(str(original.url), tmp_path / "first", "hang"):
        child_pids(tmp_path / "first")
        with closing(sqlite3.connect(tmp_path / "original.db")) as source, closing(sqlite3.connect(copied)) as target:
            source.execute("VACUUM INTO ?", (str(vacuumed),))
            source.backup(target)
    original.close()
    for copy in (vacuumed, copied):
        with closing(sqlite3.connect(copy)) as found:
            assert found.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert found.execute("SELECT state, fence FROM job ORDER BY id").fetchall() == [
                ("running", 1),
                ("queued", 0),
            ]
    restored = Database(f"sqlite:///{vacuumed}")
    goes_on(restored, running, waiting, tmp_path / "second")
    restored.close()


@pytest.fixture
def empty_database(postgres_url: str) -> Iterator[Callable[[], str]]:
    """Makes empty Postgres databases beside the one of the tests; their URLs."""
    engine = sa.create_engine(POSTGRES, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    def make() -> str:
        made.append(f"forgetcast_test_{uuid.uuid4().hex[:12]}")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {made[-1]}")
        return sa.make_url(POSTGRES).set(database=made[-1]).render_as_string(hide_password=False)

    yield make
    with engine.connect() as connection:
        for name in made:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


def test_a_dump_of_postgres_taken_while_a_job_runs_goes_on(empty_database: Callable[[], str], tmp_path: Path) -> None:
    for program in ("pg_dump", "pg_restore"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed (apt install postgresql-client)")
    original_url, restored_url = empty_database(), empty_database()
    original = Database(original_url)
    migrate(original)
    running, waiting = submit(original, 2)
    dump = str(tmp_path / "forgetcast.dump")
    with worker(original_url, tmp_path / "first", "hang"):
        child_pids(tmp_path / "first")
        run("pg_dump", "--format=custom", f"--file={dump}", dsn(original_url))
    original.close()
    run("pg_restore", "--exit-on-error", "--single-transaction", "--no-owner", f"--dbname={dsn(restored_url)}", dump)
    restored = Database(restored_url)
    goes_on(restored, running, waiting, tmp_path / "second")
    restored.close()


def dsn(url: str) -> str:
    return sa.make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def run(*command: str) -> None:
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    if "server version mismatch" in ended.stderr:
        pytest.skip(f"{command[0]} is older than the server: {ended.stderr.strip().splitlines()[0]}")
    assert ended.returncode == 0, ended.stderr
