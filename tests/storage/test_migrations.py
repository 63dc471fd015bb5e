"""What migrations do with rows that are there already."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from datetime import timedelta

import numpy as np
import pytest
import sqlalchemy as sa
from alembic.command import downgrade, upgrade
from alembic.config import Config

from service.storage import schema
from service.storage.database import Database
from service.storage.schema import CHECKOUT, MIGRATION_LOCK, check_schema, migrate

PROBES = np.array([4, 1, 7], "<i4").tobytes()
MEASUREMENT = """
    INSERT INTO measurement (task_id, row_version, positions, forgetting, at_random, model_revision, recipe, setting,
                             seed, source, created_at)
    VALUES ('t', ?, ?, ?, ?, 'r', '{}', '{}', 1, '', 0)
"""


def config_of(database: Database) -> Config:
    """What migrates this database."""
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.attributes["engine"] = database.engine
    return config


def at(tmp_path, revision):
    """A database of this revision, by its path, with what migrates it on."""
    path = tmp_path / "old.db"
    database = Database(f"sqlite:///{path}")
    config = config_of(database)
    upgrade(config, revision)
    return path, config, database


def test_probes_measured_before_random_positions_were_kept_stay_random(tmp_path):
    path, config, database = at(tmp_path, "0004_keys")
    # Apart from the service's engine, which would ask for the rows around these.
    with closing(sqlite3.connect(path)) as connection, connection:
        cells = np.zeros(3, "<f4").tobytes()
        connection.executemany(MEASUREMENT, [(1, PROBES, cells, True), (2, PROBES, cells, False)])
    upgrade(config, "0005_random_positions")
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT random_positions FROM measurement ORDER BY row_version").fetchall()
    assert kept == [(PROBES,), (None,)]
    downgrade(config, "0004_keys")
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT at_random FROM measurement ORDER BY row_version").fetchall() == [(1,), (0,)]
    database.close()


def test_the_data_of_rows_imported_before_are_known_by_their_digest(tmp_path):
    path, config, database = at(tmp_path, "0008_fit_request")
    old, new = "a" * 64, "b" * 64
    task = "INSERT INTO task (id, matrix_id, measure, seed, row_version, n_measured, known, created_at) VALUES (?, "
    cells = """
        INSERT INTO measurement (task_id, row_version, forgetting, model_revision, recipe, setting, seed, source,
                                 created_at)
        VALUES (?, ?, '', 'r', '{}', '{}', 1, ?, 0)
    """
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(task + "'m', 'none', 0, 2, 1, true, 0)", [("t",), ("u",)])
        said = [("t", 1, f"imported, data set {old}"), ("t", 2, f"imported, data set {new}"), ("u", 1, "imported")]
        connection.executemany(cells, said)
    upgrade(config, "0009_imported_dataset")
    with closing(sqlite3.connect(path)) as connection:
        kept = connection.execute("SELECT id, imported_dataset FROM task ORDER BY id").fetchall()
    assert kept == [("t", new), ("u", None)]
    downgrade(config, "0008_fit_request")
    database.close()


@pytest.fixture
def impatient(empty_postgres: str) -> Iterator[Database]:
    """As `up` and its settings make it; what is silent for a second does not answer."""
    database = Database(empty_postgres, patience=timedelta(seconds=1))
    yield database
    database.close()


@contextmanager
def held(database: Database, statement: str, seconds: float) -> Iterator[None]:
    """Somebody else executes this and holds what it locks for so long."""
    holds = threading.Event()

    def hold() -> None:
        with database.engine.connect() as connection:
            connection.execute(sa.text(statement))
            holds.set()
            time.sleep(seconds)

    thread = threading.Thread(target=hold)
    thread.start()
    assert holds.wait(30)
    yield
    thread.join()


def test_who_finds_another_migration_waits_for_it_however_long(impatient: Database) -> None:
    with held(impatient, f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})", 3):
        migrate(impatient)
    check_schema(impatient)


def test_a_step_that_takes_long_is_waited_for(impatient: Database) -> None:
    upgrade(config_of(impatient), "0008_fit_request")
    with held(impatient, "LOCK TABLE job", 3):
        migrate(impatient)
    check_schema(impatient)


def test_a_table_that_is_in_use_is_asked_for_again(impatient: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "LOCK_TIMEOUT", "500ms")
    monkeypatch.setattr(schema, "PAUSE", 0.1)
    upgrade(config_of(impatient), "0008_fit_request")
    with held(impatient, "LOCK TABLE job", 3):
        migrate(impatient)
    check_schema(impatient)
