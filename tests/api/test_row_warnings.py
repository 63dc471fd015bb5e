"""What of an imported row is beyond belief is said in the answer, and the row is taken all the same."""

from __future__ import annotations

from typing import Any

import numpy as np

from service.operations.known import each_known
from service.storage import tasks
from service.storage.matrices import get_matrix, supersede_row
from tests.api.conftest import World, low_rank_rows

ROW = low_rank_rows(1, seed=7)[0]


def test_a_row_like_the_known_ones_has_no_warning(world: World) -> None:
    assert world.put_row("usual", ROW).json()["warnings"] == []
    again = [world.put_row(f"known-{place}", row) for place, row in enumerate(world.forgetting)]
    assert all(answer.json()["warnings"] == [] for answer in again)


def test_a_wild_cell_is_named_with_its_value_and_how_many_sd(world: World) -> None:
    wild = ROW.copy()
    wild[41] = 50.0
    answer = world.put_row("wild", wild)
    (warning,) = answer.json()["warnings"]
    assert answer.status_code == 201
    assert warning.startswith("outlier: ") and "robust sd" in warning
    assert "'example-41'" in warning and "+50 nats per token" in warning
    assert world.client.get("/v1/tasks/wild").json()["known"] is True


def test_a_row_that_is_wild_as_a_whole_is_named_as_a_row(world: World) -> None:
    (shifted,) = world.put_row("shifted", ROW + 30).json()["warnings"]
    assert "the row lies" in shifted and "robust sd" in shifted
    thin = np.full(ROW.size, np.nan, np.float32)
    thin[3] = 30.0
    assert any("the row lies" in warning for warning in world.put_row("thin", thin).json()["warnings"])


def test_the_first_rows_have_nothing_to_be_compared_with(empty_world: World) -> None:
    wild = ROW.copy()
    wild[41] = 50.0
    assert empty_world.put_row("first", empty_world.forgetting[0]).json()["warnings"] == []
    assert empty_world.put_row("second", wild).json()["warnings"] == []
    assert empty_world.put_row("third", empty_world.forgetting[1]).json()["warnings"] == []
    assert empty_world.put_row("second", wild).json()["warnings"] == []
    assert empty_world.put_row("fourth", empty_world.forgetting[2]).json()["warnings"] == []
    assert empty_world.put_row("second", wild).json()["warnings"] != []


def test_the_wildness_of_known_rows_is_not_told_of_a_new_one(world: World) -> None:
    for place in range(4):
        wild = world.forgetting[place].copy()
        wild[: 10 * place + 5] = 40.0
        world.put_row(f"known-{place}", wild)
    assert world.put_row("usual", ROW).json()["warnings"] == []


def test_cells_taken_in_before_there_was_a_limit_count_as_missing(world: World) -> None:
    """A value of 1e5 in the database must stop neither the fit nor a forecast nor the next import."""
    with world.database.transaction() as session:
        task = tasks.get_task(session, "known-3")
        values = world.forgetting[3].copy()
        values[5] = 1e5
        about: dict[str, Any] = {
            "model_revision": "r",
            "recipe": {},
            "setting": {},
            "seed": 0,
            "source": "",
            "job_id": None,
        }
        tasks.add_measurement(session, task, None, values, **about)
        supersede_row(session, get_matrix(session, "m"), "known-3", task.row_version)
    world.fit()
    with world.database.read() as session:
        known = list(each_known(session, "m", get_matrix(session, "m").version, ROW.size))
    missing = {row.task_id: np.flatnonzero(np.isnan(row.values)).tolist() for row in known}
    assert missing == {row.task_id: [5] if row.task_id == "known-3" else [] for row in known}
    assert world.client.get("/v1/tasks/known-3/forecast").status_code == 200
    assert world.put_row("usual", ROW).json()["warnings"] == []
