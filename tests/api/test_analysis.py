"""What the known rows of a matrix look like, over HTTP."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from forgetcast.completion import DEFAULT_METHOD, MODEL_VERSION
from forgetcast.errors import NotFinite
from service.operations import backtests
from service.operations.fit_work import fit_here
from service.storage.tables import Fit
from tests.api.conftest import World
from tests.fits import backtest_due_matrix


def test_an_analysis_is_made_with_the_back_test_and_has_the_repeats(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "MOST_LEFT_OUT", 1)
    path = "/v1/matrices/m/analysis"
    pending = world.client.get(path)
    assert (pending.status_code, pending.json()["code"]) == (503, "fit_pending")
    again = world.forgetting[3] + np.float32(0.02)
    assert world.put_row("again", again, repeat_of="known-3").status_code == 201
    assert backtest_due_matrix(world.database)
    found = world.client.get(path).json()
    assert (found["matrix"], found["matrix_version"], found["n_tasks"], found["n_examples"]) == ("m", 12, 12, 80)
    assert found["r2_by_rank"][1] > 0.9
    assert found["noise"]["from"] == "repeats"
    assert found["noise"]["cell_sd"] == pytest.approx(0.02 / 2**0.5, rel=1e-4)
    assert {domain["domain"] for domain in found["factors"][0]["domains"]} == {"cooking", "history", "code", "poems"}
    report = world.client.get("/v1/matrices/m/backtest").json()
    assert set(report["methods"]) == {DEFAULT_METHOD, "popularity", "additive", "knn", "mf"}
    assert report["design"] == "mixed"


def fail_fit(world: World) -> None:
    """A matrix whose only rows have values that nobody can have measured, as an older service let in."""

    def broken(folder: Path) -> None:
        raise NotFinite("the row of task 'known' holds 6e+37 nats per token")

    assert world.put_row("known", world.forgetting[0]).status_code == 201
    with pytest.raises(NotFinite):
        fit_here(world.database, work=broken)


def test_a_matrix_that_cannot_be_fitted_says_so_until_it_is(empty_world: World) -> None:
    empty_world.post_task(id="new", measure="none")
    fail_fit(empty_world)
    for path in ("analysis", "backtest"):
        refused = empty_world.client.get(f"/v1/matrices/m/{path}")
        assert (refused.status_code, refused.json()["code"]) == (409, "fit_failed")
    assert "the row of task 'known' holds 6e+37" in refused.json()["detail"]
    assert "tried again after 20" in refused.json()["detail"]
    unmeasured = empty_world.client.get("/v1/tasks/new/forecast", params={"allow_unmeasured": True})
    assert (unmeasured.status_code, unmeasured.json()["code"]) == (409, "fit_failed")
    error = empty_world.client.get("/v1/matrices/m").json()["fit_error"]
    assert (error["code"], error["what"], error["n_failed"]) == ("not_finite", "fit", 1)
    assert empty_world.client.get("/v1/matrices/m/probe-set", params={"design": "random"}).status_code == 200
    assert empty_world.post_task(dataset=empty_world.put_dataset(), size=5).json()["design"] == "random"
    assert empty_world.put_row("another", empty_world.forgetting[1]).status_code == 201
    empty_world.fit()
    assert empty_world.client.get("/v1/matrices/m").json()["fit_error"] is None
    assert empty_world.client.get("/v1/matrices/m/analysis").json()["code"] == "fit_pending"


def test_what_an_earlier_model_version_found_is_never_read(world: World) -> None:
    """Its keys may be others; the fit of this version is tested anew."""
    old = {"a": "key of then"}
    with world.database.transaction() as session:
        newest = session.get_one(Fit, ("m", 12, MODEL_VERSION))
        earlier = Fit(matrix_id="m", matrix_version=12, model_version=MODEL_VERSION - 1, tested=True)
        earlier.arrays_sha256 = newest.arrays_sha256
        earlier.quality = earlier.backtest = earlier.analysis = old
        session.add(earlier)
    assert world.client.get("/v1/matrices/m").json()["quality"] is None
    for report in ("backtest", "analysis"):
        assert world.client.get(f"/v1/matrices/m/{report}").json()["code"] == "fit_pending"


def test_an_empty_matrix_has_nothing_to_describe(empty_world: World) -> None:
    empty = empty_world.client.get("/v1/matrices/m/analysis")
    assert (empty.status_code, empty.json()["code"]) == (409, "matrix_empty")
