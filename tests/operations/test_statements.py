"""How many statements something takes, which is what it costs: each is a round trip to the database."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from forgetcast import schemas
from service.operations.measurements import post_measurements
from service.operations.tasks import list_tasks, register_task
from service.storage import upstream_sets
from service.storage.database import Database, Session
from service.storage.locks import hold
from service.storage.tables import Matrix
from tests.storage.rows import N_EXAMPLES, add_task
from tests.storage.statements import recorded

RECIPE: dict[str, Any] = {"method": "full", "learning_rate": 1e-4, "steps": 10, "batch_size": 8, "max_tokens": 64}
SETTING = schemas.Setting()


@pytest.fixture
def dataset(database: Database) -> str:
    """A matrix `m` with a set of texts; the sha256 of a data set."""
    with database.transaction() as session:
        sha256 = add_task(session).dataset_sha256
        session.execute(sa.update(Matrix).values(setting=SETTING.model_dump(mode="json")))
    assert sha256 is not None
    return sha256


def test_a_page_of_tasks_takes_as_many_statements_as_one_task(database: Database, dataset: str) -> None:
    with database.transaction() as session:
        for seed in range(20):
            register_task(session, schemas.TaskCreate(matrix="m", dataset=dataset, size=2, seed=seed))
    counts = []
    for limit in (1, 21):
        with database.read() as session, recorded(database) as sent:
            assert len(list_tasks(session, None, "", limit)) == limit
        counts.append(len(sent))
    assert counts == [1, 1]


def test_posted_cells_are_looked_up_by_their_ids(database: Database, dataset: str) -> None:
    with database.transaction() as session:
        task_id = register_task(session, schemas.TaskCreate(matrix="m", measure="none")).task.id
    cells = [schemas.Cell(example_id="e2", forgetting=0.25)]
    posted = schemas.MeasurementsCreate(setting=SETTING, recipe=RECIPE, cells=cells)  # type: ignore[arg-type]
    with database.transaction() as session, recorded(database) as sent:
        post_measurements(session, task_id, posted)
    looks = [statement for statement, _ in sent if "FROM upstream_example" in statement]
    assert len(looks) == 1
    assert "example_id IN" in looks[0]


def test_an_order_under_its_own_id_takes_few_statements(database: Database, dataset: str) -> None:
    wanted = schemas.TaskCreate(id="own", matrix="m", dataset=dataset, size=2)
    with database.transaction() as session, recorded(database) as sent:
        assert register_task(session, wanted).is_new
    # matrix, data, names (on Postgres), id, same order, task, set, base values, job, event
    assert len(sent) <= 10, [statement for statement, _ in sent]


def test_names_are_held_in_one_statement(database: Database) -> None:
    with database.transaction() as session, recorded(database) as sent:
        hold(session, *[("task", f"task-{number}") for number in range(100)])
        held = None if database.is_sqlite else _n_advisory_locks(session)
    assert len(sent) - (held is not None) == (0 if database.is_sqlite else 1)
    assert held in (None, 100)


def _n_advisory_locks(session: Session) -> int:
    mine = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    return int(session.scalar(sa.text(mine)))


def test_every_example_of_a_large_set_is_found(
    database: Database, dataset: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"e{number}" for number in range(N_EXAMPLES)]
    for most in (1, 100):
        monkeypatch.setattr(upstream_sets, "MOST_LOOKED_UP", most)
        with database.read() as session:
            found = upstream_sets.positions_of(session, "u", [*names, "absent"])
        assert found == dict(zip(names, np.arange(N_EXAMPLES).tolist(), strict=True))
