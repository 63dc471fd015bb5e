"""Replay sets over HTTP: forms, manifest, weights, and the law that a larger set contains the smaller."""

from __future__ import annotations

import hashlib
import io
import json
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest

from forgetcast.replay_formats import replay_lines
from forgetcast.schemas import ReplayExample, ReplayFormat
from tests.api.conftest import N_EXAMPLES, RECIPE, World, json_lines, npy
from tests.api.test_main_job import NEW_ROW

URL = "/v1/tasks/new/replay-set"
N_ELIGIBLE = N_EXAMPLES - N_EXAMPLES // 10


@pytest.fixture
def measured(world: World) -> World:
    world.post_task(id="new", measure="none", n_examples=640)
    assert world.measure("new", NEW_ROW).status_code == 200
    return world


def drawn(world: World, **query: Any) -> Any:
    answer = world.client.get(URL, params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("strategy", ["sample", "top", "uniform"])
@pytest.mark.parametrize("minimum", [0, 2])
def test_a_larger_set_contains_the_smaller(measured: World, strategy: str, minimum: int) -> None:
    previous: dict[str, float] = {}
    for size in (8, 9, 15, 40, N_ELIGIBLE):
        data = drawn(measured, size=size, strategy=strategy, seed=5, min_per_domain=minimum)["data"]
        weights = {example["id"]: example["weight"] for example in data}
        assert len(weights) == size
        assert previous.items() <= weights.items()
        previous = weights


@pytest.mark.parametrize("form", list(ReplayFormat))
def test_the_manifest_has_the_sha256_of_the_file_of_its_format(measured: World, form: ReplayFormat) -> None:
    document = drawn(measured, size=12, format=form)
    file = measured.client.get(f"{URL}.jsonl", params={"size": 12, "format": form}).content
    manifest = document["manifest"]
    assert (manifest["format"], manifest["body_sha256"]) == (form, hashlib.sha256(file).hexdigest())
    examples = [ReplayExample.model_validate(example) for example in document["data"]]
    assert "".join(replay_lines(examples, form)).encode() == file
    ids = "".join(f"{example.id}\t{example.weight!r}\n" for example in examples)
    assert manifest["sha256"] == hashlib.sha256(ids.encode()).hexdigest()
    assert manifest["numpy_version"] == np.__version__


def test_every_form_has_the_same_examples(measured: World) -> None:
    ids = [example["id"] for example in drawn(measured, size=12)["data"]]
    for form in ReplayFormat:
        query: dict[str, str | int] = {"size": 12, "format": form}
        lines = measured.client.get(f"{URL}.jsonl", params=query).text.splitlines()
        table = pyarrow.parquet.read_table(io.BytesIO(measured.client.get(f"{URL}.parquet", params=query).content))
        records = [json.loads(line) for line in lines]
        assert [record["id"] for record in records] == table["id"].to_pylist() == ids
        assert records == [
            {name: value for name, value in record.items() if value is not None} for record in table.to_pylist()
        ]


def test_texts_that_stay_with_the_user_need_no_text(measured: World) -> None:
    client = measured.client
    client.post("/v1/upstream-sets", json={"id": "bare"})
    client.put("/v1/upstream-sets/bare/examples", content=json_lines([{"id": f"b-{i}"} for i in range(20)]))
    client.post("/v1/matrices", json={"id": "bare", "upstream_set": "bare", "model": "tiny", "recipe": RECIPE})
    for place in range(3):
        row = np.random.default_rng(place).normal(size=20).astype(np.float32)
        client.put(f"/v1/matrices/bare/rows/bare-{place}", content=npy(row), params={"n_examples": 320})
    measured.fit()
    url = "/v1/tasks/bare-0/replay-set"
    assert len(client.get(f"{url}.jsonl?format=ids").text.splitlines()) == 10
    assert client.get(url).json()["manifest"]["body_sha256"] is not None
    refused = client.get(f"{url}.jsonl?format=messages")
    assert (refused.status_code, refused.json()["code"]) == (409, "texts_missing")


FENCED_WEIGHTS = "a" * 64


@pytest.fixture
def candidate(measured: World) -> World:
    """A candidate of which every second cell is a random probe."""
    measured.post_task(id="candidate", measure="none", n_examples=640)
    posted = measured.measure("candidate", NEW_ROW, n_probes=40, weights_sha256=FENCED_WEIGHTS)
    assert posted.status_code == 200
    return measured


def test_a_fenced_set_has_nothing_that_the_candidate_is_judged_by(candidate: World) -> None:
    probed = {f"example-{at}" for at in measured_of(candidate, "candidate")}
    protected = {"metric": "protected", "ids": ["example-77", "example-78"], "max": 5}
    asked = {"policy": {"assertions": [protected]}}
    assert candidate.client.post("/v1/tasks/candidate/gate", json=asked).status_code == 201
    most = N_ELIGIBLE - len(probed) - 2
    fenced = drawn(candidate, size=most, fence="candidate")
    ids = {example["id"] for example in fenced["data"]}
    assert not ids & (probed | {"example-77", "example-78"})
    judged = candidate.client.post("/v1/tasks/candidate/gate", json={**asked, "replay_ids": sorted(ids)}).json()
    assert not any(note.startswith("replay:") for note in judged["verdict"]["notes"])


def test_the_manifest_says_what_the_fence_costs(candidate: World) -> None:
    free, fenced = drawn(candidate, size=20, strategy="top"), drawn(candidate, size=20, strategy="top", fence="new")
    assert free["manifest"]["fence"] is None
    cost = fenced["manifest"]["fence"]
    lost = {one["id"] for one in free["data"]} - {one["id"] for one in fenced["data"]}
    assert (cost["task"], cost["n_replaced"]) == ("new", len(lost))
    assert cost["n_fenced"] > 0
    assert cost["mean_forgetting_without"] == pytest.approx(np.mean([one["forgetting"] for one in free["data"]]))
    assert cost["mean_forgetting"] <= cost["mean_forgetting_without"]


def test_a_fence_holds_for_what_is_measured_after_the_set_was_asked_for(candidate: World) -> None:
    """The answer is none of the replayed task's versions alone, so nothing of it is remembered."""
    before = candidate.client.get(URL, params={"size": 5, "fence": "candidate"})
    assert "ETag" not in before.headers
    assert candidate.measure("candidate", NEW_ROW, n_probes=26, weights_sha256=FENCED_WEIGHTS).status_code == 200
    probed = {f"example-{at}" for at in measured_of(candidate, "candidate")}
    after = drawn(candidate, size=N_ELIGIBLE // 10, fence="candidate")
    assert not {one["id"] for one in after["data"]} & probed


def test_every_form_keeps_to_the_fence(candidate: World) -> None:
    query: dict[str, Any] = {"size": 12, "fence": "candidate"}
    ids = [example["id"] for example in drawn(candidate, **query)["data"]]
    lines = candidate.client.get(f"{URL}.jsonl", params=query).text.splitlines()
    table = pyarrow.parquet.read_table(io.BytesIO(candidate.client.get(f"{URL}.parquet", params=query).content))
    assert [json.loads(line)["id"] for line in lines] == table["id"].to_pylist() == ids


def test_a_finished_candidate_fences_nothing_but_what_is_protected(measured: World) -> None:
    fenced = drawn(measured, size=N_ELIGIBLE, fence="known-1")
    assert fenced["manifest"]["fence"]["n_fenced"] == 0


def test_a_fence_that_is_no_task_or_leaves_too_little_is_refused(candidate: World) -> None:
    unknown = candidate.client.get(URL, params={"size": 5, "fence": "nobody"})
    assert (unknown.status_code, unknown.json()["code"]) == (422, "unknown_reference")
    too_many = candidate.client.get(URL, params={"size": N_ELIGIBLE, "fence": "candidate"})
    assert (too_many.status_code, too_many.json()["code"]) == (422, "too_many_examples_asked")


def measured_of(world: World, task: str) -> list[int]:
    lines = world.client.get(f"/v1/tasks/{task}/forgetting.jsonl").text.splitlines()
    return [place for place, line in enumerate(lines) if json.loads(line)["measured"]]


def test_one_outlier_does_not_take_the_whole_set(measured: World) -> None:
    outlier = NEW_ROW.copy()
    outlier[1] = 40.0
    measured.post_task(id="outlier", measure="none")
    measured.measure("outlier", outlier, n_probes=80)
    guarded = measured.client.get("/v1/tasks/outlier/replay-set?size=20").json()
    free = measured.client.get("/v1/tasks/outlier/replay-set?size=20&max_weight=1").json()
    assert guarded["manifest"]["max_weight"] == pytest.approx(10 / N_ELIGIBLE)
    assert max(example["weight"] for example in guarded["data"]) == pytest.approx(10 / N_ELIGIBLE)
    assert guarded["manifest"]["effective_sample_size"] > 10
    assert any(warning.startswith("capped: ") for warning in guarded["manifest"]["warnings"])
    assert free["manifest"]["effective_sample_size"] == pytest.approx(1)
    assert any(warning.startswith("collapsed") for warning in free["manifest"]["warnings"])


def test_a_cap_below_an_even_share_is_said_to_leave_nothing_of_the_forecast(measured: World) -> None:
    found = drawn(measured, size=10, max_weight=0.0001)
    assert [example["weight"] for example in found["data"]] == pytest.approx([1 / N_ELIGIBLE] * 10)
    capped = next(warning for warning in found["manifest"]["warnings"] if warning.startswith("capped: "))
    assert f"even share of the {N_ELIGIBLE} examples" in capped and "held at" not in capped


def test_uniform_has_equal_weights_and_no_cap(measured: World) -> None:
    document = drawn(measured, size=30, strategy="uniform")
    assert [example["weight"] for example in document["data"]] == pytest.approx([1 / N_ELIGIBLE] * 30)
    assert document["manifest"]["max_weight"] is None
    assert document["manifest"]["effective_sample_size"] == pytest.approx(N_ELIGIBLE)


def test_size_and_ratio_are_settled_by_what_is_known(measured: World) -> None:
    assert drawn(measured)["manifest"]["size"] == 640 // 32
    assert drawn(measured, ratio=0.05)["manifest"]["size"] == 32
    assert not any("large_ratio" in warning for warning in drawn(measured, ratio=0.11)["manifest"]["warnings"])
    measured.post_task(id="small", measure="none", n_examples=100)
    measured.measure("small", NEW_ROW)
    large = measured.client.get("/v1/tasks/small/replay-set?ratio=0.3").json()["manifest"]
    assert large["size"] == 30
    assert large["warnings"][0].startswith("large_ratio")
    measured.post_task(id="unsized", measure="none")
    measured.measure("unsized", NEW_ROW)
    assert measured.client.get("/v1/tasks/unsized/replay-set").status_code == 422
    assert measured.client.get("/v1/tasks/new/replay-set?size=3&ratio=0.1").status_code == 422
