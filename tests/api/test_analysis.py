"""What the known rows of a matrix look like, over HTTP."""

from __future__ import annotations

import numpy as np
import pytest

from forgetcast.completion import DEFAULT_METHOD
from service.operations import fits
from tests.api.conftest import World


def test_an_analysis_is_made_with_the_back_test_and_has_the_repeats(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "MOST_ROWS_LEFT_OUT", 1)
    path = "/v1/matrices/m/analysis"
    pending = world.client.get(path)
    assert (pending.status_code, pending.json()["code"]) == (503, "fit_pending")
    again = world.forgetting[3] + np.float32(0.02)
    assert world.put_row("again", again, repeat_of="known-3").status_code == 201
    assert fits.backtest_due_matrix(world.database)
    found = world.client.get(path).json()
    assert (found["matrix"], found["matrix_version"], found["n_tasks"], found["n_examples"]) == ("m", 12, 12, 80)
    assert found["r2_by_rank"][1] > 0.9
    assert found["noise"]["from"] == "repeats"
    assert found["noise"]["cell_sd"] == pytest.approx(0.02 / 2**0.5, rel=1e-4)
    assert {domain["domain"] for domain in found["factors"][0]["domains"]} == {"cooking", "history", "code", "poems"}
    report = world.client.get("/v1/matrices/m/backtest").json()
    assert set(report["methods"]) == {DEFAULT_METHOD, "popularity", "additive", "knn", "mf"}
    assert report["design"] == "mixed"


def test_an_empty_matrix_has_nothing_to_describe(empty_world: World) -> None:
    empty = empty_world.client.get("/v1/matrices/m/analysis")
    assert (empty.status_code, empty.json()["code"]) == (409, "matrix_empty")
