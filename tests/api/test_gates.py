"""The gate over HTTP: verdicts that are kept, looks that are counted, baselines that were released."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa

from service.api.examples import QUALITY
from service.api.report_examples import ANALYSIS
from service.storage.tables import Fit
from tests.api.conftest import N_EXAMPLES, World, low_rank_rows

NEW_ROW = low_rank_rows(13, seed=3)[12]
MEAN = float(NEW_ROW.mean())
WEIGHTS, OTHER = "a" * 64, "b" * 64


def policy(*assertions: dict[str, Any], **top: Any) -> dict[str, Any]:
    loose = {"coverage": 0, "row_mean_ratio": 10}
    return {"min_quality": loose, "assertions": list(assertions), **top}


def mean_below(limit: float, **more: Any) -> dict[str, Any]:
    return {"metric": "mean_forgetting", "max": limit, **more}


@pytest.fixture
def tested(world: World) -> World:
    """A world whose fit is back-tested, with a candidate of which twenty examples are measured."""
    with world.database.transaction() as session:  # a back-test itself takes half a minute
        session.execute(sa.update(Fit).values(tested=True, quality=QUALITY, analysis=ANALYSIS))
    world.post_task(id="new", measure="none", n_examples=640)
    assert world.measure("new", NEW_ROW, weights_sha256=WEIGHTS).status_code == 200
    return world


def judged(world: World, wanted: dict[str, Any], task: str = "new", status: int = 201, **more: Any) -> Any:
    answer = world.client.post(f"/v1/tasks/{task}/gate", json={"policy": wanted, **more})
    assert answer.status_code == status, answer.text
    return answer.json()


def measure(world: World, positions: range, weights: str | None = WEIGHTS, task: str = "new") -> None:
    cells = [{"example_id": f"example-{at}", "forgetting": float(NEW_ROW[at])} for at in positions]
    matrix = world.client.get("/v1/matrices/m").json()
    body = {"setting": matrix["setting"], "recipe": matrix["recipe"], "cells": cells, "weights_sha256": weights}
    assert world.client.post(f"/v1/tasks/{task}/measurements", json=body).status_code == 200


def test_a_verdict_is_kept_and_read_as_it_was_given(tested: World) -> None:
    found = judged(tested, policy(mean_below(MEAN + 1)))
    assert (found["verdict"]["verdict"], found["judged"], found["weights_sha256"]) == ("pass", "candidate", WEIGHTS)
    assert tested.client.get(f"/v1/gates/{found['id']}").json() == found
    listed = tested.client.get("/v1/gates", params={"task": "new"}).json()["data"]
    assert [one["id"] for one in listed] == [found["id"]]
    assert tested.client.get("/v1/gates", params={"task": "known-1"}).json()["data"] == []


def test_the_same_inputs_and_versions_give_the_same_verdict(tested: World) -> None:
    asked = policy(mean_below(MEAN), {"metric": "quantile", "q": 0.9, "max": 0.2})
    first, again = judged(tested, asked), judged(tested, asked)
    assert first["id"] != again["id"]
    assert first["verdict"] == again["verdict"]


def test_only_new_measurements_make_a_look(tested: World) -> None:
    asked = policy(mean_below(MEAN), max_looks=2)
    assert [judged(tested, asked)["look"] for _ in range(3)] == [1, 1, 1]
    measure(tested, range(1, 9))
    measure(tested, range(9, 12))  # nobody asked in between
    assert judged(tested, policy(mean_below(1.0), max_looks=2))["look"] == 2
    measure(tested, range(13, 14))
    spent = judged(tested, policy(mean_below(10), max_looks=2))
    assert (spent["look"], spent["verdict"]["verdict"]) == (3, "inconclusive")


def test_a_finished_row_is_exact_and_no_look(tested: World) -> None:
    measure(tested, range(N_EXAMPLES))
    truth = float(NEW_ROW.astype(np.float64).mean())
    assert judged(tested, policy(mean_below(truth + 1e-6)))["verdict"]["verdict"] == "pass"
    found = judged(tested, policy(mean_below(truth - 1e-6)))
    assert (found["verdict"]["verdict"], found["verdict"]["n_draws"], found["look"]) == ("fail", 0, 1)


def test_cells_of_nobodys_weights_are_of_a_recipe(tested: World) -> None:
    tested.post_task(id="run", measure="none")
    tested.measure("run", NEW_ROW)
    found = judged(tested, policy(mean_below(10)), "run")
    assert (found["judged"], found["verdict"]["verdict"]) == ("recipe", "inconclusive")
    assert "1 repeated tasks, not 8" in found["verdict"]["assertions"][0]["reason"]


@pytest.mark.parametrize("weights", [None, OTHER])
def test_cells_of_two_models_are_no_model(tested: World, weights: str | None) -> None:
    measure(tested, range(1, 3), weights)
    found = judged(tested, policy(mean_below(10)))["verdict"]
    assert (found["verdict"], found["notes"][0][:8]) == ("error", "weights:")


def test_a_fit_older_than_the_rows_never_passes(tested: World) -> None:
    tested.put_row("known-new", low_rank_rows(20, seed=8)[19])
    found = judged(tested, policy(mean_below(10)))["verdict"]
    assert (found["verdict"], found["notes"][0][:6]) == ("error", "stale:")


def test_without_a_back_test_only_random_probes_count(world: World) -> None:
    world.post_task(id="new", measure="none")
    world.measure("new", NEW_ROW, weights_sha256=WEIGHTS)
    found = judged(world, policy(mean_below(10)))["verdict"]
    assert (found["verdict"], found["assertions"][0]["basis"]) == ("pass", "random_probes")


@pytest.mark.parametrize(
    ("assertion", "said"),
    [
        (mean_below(1, domain="cookin"), "did you mean 'cooking'?"),
        ({"metric": "protected", "ids": ["nobody"], "max": 1}, "no example 'nobody'"),
        ({"metric": "protected", "tags": ["safety"], "max": 1}, "tag 'safety'"),
        (mean_below(1, threshold=0.1), "released yet"),
    ],
)
def test_what_cannot_be_asked_is_an_error(tested: World, assertion: dict[str, Any], said: str) -> None:
    found = judged(tested, policy(assertion, baseline="auto"))["verdict"]
    assert found["verdict"] == "error"
    assert any(said in one["reason"] for one in found["assertions"])


def test_a_policy_with_a_typo_is_refused_with_its_place(tested: World) -> None:
    problem = judged(tested, policy({"metric": "mean_forgeting", "max": 1}), status=422)
    assert problem["errors"][0]["pointer"] == "/policy/assertions/0/metric"


def test_a_task_that_is_not_measured_has_no_verdict(tested: World) -> None:
    tested.post_task(id="unmeasured", measure="none")
    assert judged(tested, policy(mean_below(1)), "unmeasured", status=409)["code"] == "not_measured"
    assert judged(tested, policy(mean_below(1)), "nobody", status=404)["code"] == "task_not_found"
    assert tested.client.get("/v1/gates/gate_0").json()["code"] == "gate_not_found"


def test_the_last_released_task_is_the_baseline(tested: World) -> None:
    asked = policy(mean_below(10, threshold=5), baseline="auto")
    assert judged(tested, asked, first_release=True)["verdict"]["verdict"] == "pass"
    released = tested.client.post("/v1/tasks/new/release", json={"weights_sha256": WEIGHTS})
    assert released.status_code == 201, released.text
    assert released.json()["warnings"][0].startswith("not_in_full:")
    tested.post_task(id="next", measure="none")
    tested.measure("next", NEW_ROW, weights_sha256=OTHER)
    found = judged(tested, asked, "next")
    assert (found["verdict"]["verdict"], found["baseline"]["task"]) == ("pass", "new")
    audit = tested.client.get("/v1/audit").json()["data"][0]
    assert (audit["action"], audit["target"], audit["detail"]["weights_sha256"]) == ("task.release", "new", WEIGHTS)


def test_a_release_of_other_weights_is_refused(tested: World) -> None:
    answer = tested.client.post("/v1/tasks/new/release", json={"weights_sha256": OTHER})
    assert (answer.status_code, "other weights" in answer.json()["detail"]) == (422, True)
    verdict = judged(tested, policy(mean_below(10)))["id"]
    kept = tested.client.post("/v1/tasks/new/release", json={"weights_sha256": WEIGHTS, "gate": verdict})
    assert kept.json()["gate"] == verdict
    unknown = tested.client.post("/v1/tasks/new/release", json={"weights_sha256": WEIGHTS, "gate": "gate_0"})
    assert unknown.json()["errors"][0]["pointer"] == "/gate"


def test_replayed_examples_are_nothing_to_judge_by(tested: World) -> None:
    among_probes = judged(tested, policy(mean_below(10)), replay_ids=["example-0", "example-1"])["verdict"]
    assert (among_probes["verdict"], among_probes["notes"][0][:7]) == ("error", "replay:")
    protected = {"metric": "protected", "ids": ["example-1"], "max": 10}
    assert judged(tested, policy(protected), replay_ids=["example-1"])["verdict"]["verdict"] == "error"
    apart = judged(tested, policy(mean_below(10)), replay_ids=["example-1"])["verdict"]
    assert (apart["verdict"], apart["assertions"][0]["basis"]) == ("pass", "random_probes")
    assert judged(tested, policy(mean_below(10)), replay_ids=["x"], status=422)["code"] == "unknown_reference"
