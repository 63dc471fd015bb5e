"""The main job over HTTP, with a training run that measures its own probes instead of a worker."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow.parquet
import pytest

from service.storage.database import Database
from tests.api.conftest import N_EXAMPLES, World, low_rank_rows

NEW_ROW = low_rank_rows(1, seed=7)[0]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def measured(world: World) -> World:
    assert world.post_task(id="new", measure="none", n_examples=640).status_code == 201
    assert world.measure("new", NEW_ROW).status_code == 200
    return world


def test_the_forecast_finds_what_the_task_forgets_most(measured: World) -> None:
    forgotten = measured.client.get("/v1/tasks/new/forgotten", params={"k": 8}).json()["data"]
    truly = {f"example-{i}" for i in np.argsort(-NEW_ROW)[:8]}
    assert len(truly & {cell["example_id"] for cell in forgotten}) >= 6
    assert [cell["place"] for cell in forgotten] == list(range(1, 9))
    values = [cell["forgetting"] for cell in forgotten]
    assert values == sorted(values, reverse=True)


def test_a_measured_cell_is_returned_as_measured(measured: World) -> None:
    everything = measured.client.get("/v1/tasks/new/forgotten", params={"k": N_EXAMPLES}).json()["data"]
    cells = [cell for cell in everything if cell["measured"]]
    assert len(cells) == 20
    for cell in cells:
        value = float(NEW_ROW[int(cell["example_id"].removeprefix("example-"))])
        assert cell["forgetting"] == cell["low"] == cell["high"] == pytest.approx(value, abs=1e-7)


def test_the_summary_says_what_it_rests_on(measured: World) -> None:
    forecast = measured.client.get("/v1/tasks/new/forecast").json()
    assert (forecast["n_tasks"], forecast["n_examples"], forecast["n_measured"]) == (12, N_EXAMPLES, 20)
    assert forecast["row_mean"]["low"] < NEW_ROW.mean() < forecast["row_mean"]["high"]
    assert forecast["mean_interval"]["low"] < forecast["mean_interval"]["mean"] < forecast["mean_interval"]["high"]
    assert forecast["unlike_known"] is False
    assert forecast["share_above"] is None
    assert {domain["domain"] for domain in forecast["domains"]} == {"cooking", "history", "code", "poems"}
    assert forecast["same_recipe"] is True


def test_old_names_of_a_forecast_have_the_same_values_for_one_version(measured: World) -> None:
    forecast = measured.client.get("/v1/tasks/new/forecast").json()
    assert forecast["mean_interval"] is not None
    assert forecast["random_mean"] == forecast["mean_interval"]
    cells = measured.client.get("/v1/tasks/new/forgotten").json()["data"]
    assert all(cell["promised"] is cell["calibrated"] is True for cell in cells)
    table = pyarrow.parquet.read_table(io.BytesIO(measured.client.get("/v1/tasks/new/forgetting.parquet").content))
    assert table["promised"].equals(table["calibrated"])
    line = json.loads(measured.client.get("/v1/tasks/new/forgetting.jsonl").text.splitlines()[0])
    assert line["promised"] is line["calibrated"] is True


def test_too_few_probes_to_know_are_said_to_be(world: World) -> None:
    world.post_task(id="hardly", measure="none")
    forecast = world.measure("hardly", NEW_ROW, n_probes=2).json()
    assert (forecast["n_measured"], forecast["unlike_known"], forecast["unlike_known_from"]) == (2, None, 3)
    assert forecast["warnings"][0].startswith("too_few_probes: fewer than 3 probes cannot say")


def test_how_many_examples_lie_above_a_limit_is_said_on_request(measured: World) -> None:
    limit = 0.1
    found = measured.client.get("/v1/tasks/new/forecast", params={"above": limit}).json()
    share, truly = found["share_above"], int(np.sum(limit < NEW_ROW))
    assert share["limit"] == limit
    assert share["n_low"] <= truly <= share["n_high"] and abs(share["n"] - truly) <= 8
    assert share["low"] <= share["mean"] <= share["high"]
    assert share["n"] == round(share["mean"] * N_EXAMPLES)
    # Every fourth example is probed: all twenty probes lie in one domain, the others have none.
    said = {domain["domain"]: domain for domain in found["domains"]}
    assert [name for name, domain in said.items() if domain["share_above"]] == ["cooking"]
    assert [name for name, domain in said.items() if domain["mean_interval"]] == ["cooking"]
    cooking = NEW_ROW[::4]
    assert said["cooking"]["share_above"]["n"] == int(np.sum(cooking > limit))
    assert said["cooking"]["mean_interval"]["mean"] == pytest.approx(float(cooking.mean()), abs=1e-6)


@pytest.mark.parametrize("above", ["nan", "inf", "much"])
def test_a_limit_is_a_number(measured: World, above: str) -> None:
    refused = measured.client.get("/v1/tasks/new/forecast", params={"above": above})
    assert (refused.status_code, refused.json()["code"]) == (422, "invalid_request")


def test_the_whole_row_is_the_same_in_every_format(measured: World) -> None:
    get = measured.client.get
    row = np.load(io.BytesIO(get("/v1/tasks/new/forgetting.npy").content))
    table = pyarrow.parquet.read_table(io.BytesIO(get("/v1/tasks/new/forgetting.parquet").content)).to_pydict()
    lines = [json.loads(line) for line in get("/v1/tasks/new/forgetting.jsonl").text.splitlines()]
    by_id = {cell["example_id"]: cell["forgetting"] for cell in lines}
    assert row.dtype == np.float32 and row.shape == (N_EXAMPLES,)
    assert table["forgetting"] == row.tolist()
    assert [by_id[name] for name in table["example_id"]] == pytest.approx(row.tolist(), abs=1e-7)


def test_an_unchanged_forecast_is_not_sent_twice(measured: World) -> None:
    first = measured.client.get("/v1/tasks/new/forgotten")
    again = measured.client.get("/v1/tasks/new/forgotten", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    measured.measure("new", NEW_ROW, n_probes=40)
    changed = measured.client.get("/v1/tasks/new/forgotten", headers={"If-None-Match": first.headers["etag"]})
    assert changed.status_code == 200
    assert changed.json()["row_version"] == first.json()["row_version"] + 1


def test_a_forecast_can_be_read_as_of_an_older_matrix_version(measured: World) -> None:
    before = measured.client.get("/v1/tasks/new/forecast").json()
    measured.put_row("one-more", low_rank_rows(1, seed=8)[0])
    measured.fit()
    now = measured.client.get("/v1/tasks/new/forecast").json()
    then = measured.client.get("/v1/tasks/new/forecast", params={"as_of": before["matrix_version"]}).json()
    assert now["matrix_version"] == before["matrix_version"] + 1
    assert then == before


def test_a_replay_set_is_the_same_for_the_same_query(measured: World) -> None:
    url = "/v1/tasks/new/replay-set"
    first, again, other = (measured.client.get(url, params={"size": 12, "seed": seed}).json() for seed in (3, 3, 4))
    assert first == again
    assert first["manifest"]["sha256"] != other["manifest"]["sha256"]


@pytest.mark.parametrize("strategy", ["sample", "top", "uniform"])
def test_a_held_out_example_is_never_replayed(measured: World, strategy: str) -> None:
    n_eligible = N_EXAMPLES - N_EXAMPLES // 10
    url = f"/v1/tasks/new/replay-set?size={n_eligible}&strategy={strategy}"
    drawn = measured.client.get(url).json()["data"]
    assert {example["id"] for example in drawn} == {f"example-{i}" for i in range(N_EXAMPLES) if i % 10}


def test_a_replay_set_has_a_share_of_the_tasks_examples_by_default(measured: World) -> None:
    drawn = measured.client.get("/v1/tasks/new/replay-set").json()
    assert drawn["manifest"]["size"] == len(drawn["data"]) == 640 // 32
    assert drawn["data"][0]["text"].startswith("text number")


def test_replay_set_files_hold_what_the_document_holds(measured: World) -> None:
    document = measured.client.get("/v1/tasks/new/replay-set", params={"size": 9}).json()["data"]
    lines = measured.client.get("/v1/tasks/new/replay-set.jsonl", params={"size": 9}).text.splitlines()
    parquet = measured.client.get("/v1/tasks/new/replay-set.parquet", params={"size": 9}).content
    ids = [example["id"] for example in document]
    assert [json.loads(line)["id"] for line in lines] == ids
    assert pyarrow.parquet.read_table(io.BytesIO(parquet)).to_pydict()["id"] == ids


def test_probes_of_another_recipe_are_kept_and_said(world: World) -> None:
    from tests.api.conftest import RECIPE

    world.post_task(id="short-run", measure="none")
    posted = world.measure("short-run", NEW_ROW, recipe=RECIPE | {"steps": 1})
    assert posted.status_code == 200
    assert posted.json()["same_recipe"] is False
    assert any(warning.startswith("other_recipe") for warning in posted.json()["warnings"])


def test_a_task_without_probes_is_forecast_on_request_only(world: World) -> None:
    world.post_task(id="unmeasured", measure="none")
    refused = world.client.get("/v1/tasks/unmeasured/forgotten")
    assert (refused.status_code, refused.json()["code"]) == (409, "not_measured")
    assert refused.headers["location"] == "/v1/tasks/unmeasured"
    allowed = world.client.get("/v1/tasks/unmeasured/forecast", params={"allow_unmeasured": True}).json()
    assert allowed["n_measured"] == 0
    assert any(warning.startswith("unmeasured") for warning in allowed["warnings"])


def test_a_task_whose_job_ended_is_not_said_to_be_under_way(world: World) -> None:
    job = world.post_task(id="ordered", dataset=world.put_dataset()).json()["job"]
    assert f"follow the job {job}" in world.client.get("/v1/tasks/ordered/forgotten").json()["detail"]
    world.client.post(f"/v1/jobs/{job}/cancel")
    detail = world.client.get("/v1/tasks/ordered/forgotten").json()["detail"]
    assert f"the job {job} ended as cancelled; order another" in detail


def test_known_rows_come_back_as_they_were_imported(world: World) -> None:
    exported = np.load(io.BytesIO(world.client.get("/v1/matrices/m/rows.npy").content))
    one = np.load(io.BytesIO(world.client.get("/v1/matrices/m/rows/known-3").content))
    assert np.array_equal(one, world.forgetting[3])
    by_id = sorted(range(12), key=lambda place: f"known-{place}")
    assert np.array_equal(exported, world.forgetting[by_id])


def test_a_missing_cell_of_a_row_stays_missing(empty_world: World) -> None:
    row = empty_world.forgetting[0].copy()
    row[[2, 5]] = np.nan
    empty_world.put_row("gappy", row)
    back = np.load(io.BytesIO(empty_world.client.get("/v1/matrices/m/rows/gappy").content))
    assert np.array_equal(back, row, equal_nan=True)
    parquet = empty_world.client.get("/v1/matrices/m/rows.parquet").content
    assert pyarrow.parquet.read_table(io.BytesIO(parquet)).column("gappy").null_count == 2
