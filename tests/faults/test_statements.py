"""The job statements in any order, at length: 5 seeds of 2,000 steps on either database."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.storage.database import Database
from service.storage.tables import Table
from tests.faults.stage import Servers
from tests.storage.test_jobs_machine import run_machine

RUNS, STEPS = 40, 50


@pytest.fixture(params=["sqlite", "postgres"])
def empty(request: pytest.FixtureRequest, session_servers: Servers, tmp_path: Path) -> Iterator[Database]:
    """Tables without a row."""
    url = f"sqlite:///{tmp_path / 'forgetcast.db'}"
    if request.param == "postgres":
        name = f"statements_{uuid.uuid4().hex[:12]}"
        session_servers.postgres.execute(f"CREATE DATABASE {name}")
        url = session_servers.postgres.url(name)
    database = Database(url)
    Table.metadata.create_all(database.engine)
    yield database
    database.close()


@pytest.mark.fault(7)
@pytest.mark.parametrize("seed", range(5))
def test_no_order_of_statements_breaks_a_job(empty: Database, seed: int) -> None:
    run_machine(empty, max_examples=RUNS, steps=STEPS, seed=seed)
