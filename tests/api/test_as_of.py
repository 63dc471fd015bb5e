"""Reads of an older matrix version: its fit is made again when somebody asks for it."""

from __future__ import annotations

from typing import Any

import pytest

from service.operations import backtests
from service.storage.database import Database
from service.storage.fit_requests import MOST_ASKED
from tests.api.conftest import World, low_rank_rows
from tests.fits import backtest_due_matrix, fit_asked_version, fit_due_matrix


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


def add_versions(world: World, first: int, n: int) -> None:
    """More known rows, each of them fitted."""
    for place, row in enumerate(low_rank_rows(n, seed=first)):
        assert world.put_row(f"later-{first + place}", row).status_code == 201
        world.fit()


def forecast(world: World, as_of: int) -> Any:
    return world.client.get("/v1/tasks/new/forecast", params={"as_of": as_of})


@pytest.fixture
def measured(world: World) -> World:
    world.post_task(id="new", measure="none")
    assert world.measure("new", low_rank_rows(1, seed=7)[0]).status_code == 200
    return world


def test_a_version_whose_fit_is_gone_is_fitted_again_on_request(measured: World) -> None:
    then = forecast(measured, 12).json()
    add_versions(measured, 0, 3)
    gone = forecast(measured, 12)
    assert (gone.status_code, gone.json()["code"], gone.headers["retry-after"]) == (503, "fit_pending", "2")
    assert not fit_due_matrix(measured.database)
    assert fit_asked_version(measured.database)
    assert not fit_asked_version(measured.database)
    again = forecast(measured, 12).json()
    assert again["matrix_version"] == 12
    assert again["row_mean"]["mean"] == pytest.approx(then["row_mean"]["mean"], abs=1e-6)
    assert measured.client.get("/v1/tasks/new/forecast").json()["matrix_version"] == 15


def test_what_was_asked_for_is_kept_beside_the_newest(measured: World) -> None:
    add_versions(measured, 0, 3)
    forecast(measured, 12)
    assert fit_asked_version(measured.database)
    add_versions(measured, 3, 3)
    assert [forecast(measured, version).status_code for version in (12, 15, 16, 17, 18)] == [200, 503, 200, 200, 200]


def test_the_longest_unasked_makes_room(measured: World) -> None:
    asked = range(5, 5 + MOST_ASKED + 1)
    for version in asked:
        assert forecast(measured, version).status_code == 503
    while fit_asked_version(measured.database):
        pass
    add_versions(measured, 0, 1)
    assert [forecast(measured, version).status_code for version in asked] == [503] + [200] * MOST_ASKED


def test_a_back_test_of_an_older_version_is_made_on_request(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backtests, "MOST_LEFT_OUT", 1)
    add_versions(world, 0, 1)
    path, query = "/v1/matrices/m/backtest", {"as_of": 12}
    assert world.client.get(path, params=query).status_code == 503
    while backtest_due_matrix(world.database):
        pass
    assert world.client.get(path, params=query).json()["matrix_version"] == 12
    assert world.client.get("/v1/matrices/m/analysis", params=query).json()["n_tasks"] == 12


def test_a_version_without_rows_is_never_fitted(measured: World) -> None:
    empty = forecast(measured, 0)
    assert (empty.status_code, empty.json()["code"]) == (409, "matrix_empty")
    assert not fit_asked_version(measured.database)
