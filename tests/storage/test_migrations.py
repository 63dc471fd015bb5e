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


def test_probes_measured_before_random_positions_were_kept_stay_random(tmp_path):
    path = tmp_path / "old.db"
    database = Database(f"sqlite:///{path}")
    config = Config()
    config.set_main_option("script_location", str(CHECKOUT / "migrations"))
    config.attributes["engine"] = database.engine
    upgrade(config, "0004_keys")
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
