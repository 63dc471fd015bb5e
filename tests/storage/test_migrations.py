"""What migrations do with rows that are there already."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import numpy as np
from alembic.command import downgrade, upgrade
from alembic.config import Config

from service.storage.database import Database
from service.storage.schema import CHECKOUT

PROBES = np.array([4, 1, 7], "<i4").tobytes()
MEASUREMENT = """
    INSERT INTO measurement (task_id, row_version, positions, forgetting, at_random, model_revision, recipe, setting,
                             seed, source, created_at)
    VALUES ('t', ?, ?, ?, ?, 'r', '{}', '{}', 1, '', 0)
"""


def at(tmp_path, revision):
    """A database of this revision, by its path, with what migrates it on."""
    path = tmp_path / "old.db"
    database = Database(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.attributes["engine"] = database.engine
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
