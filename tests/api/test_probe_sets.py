"""Which upstream examples to measure: read by users, and used for the jobs of new tasks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from service.operations.job_material import hold_for_end, record_measurement
from service.storage import tasks
from service.storage.tables import Job, Task
from tests.api.conftest import DOMAINS, World


def probe_set(world: World, **query: Any) -> Any:
    return world.client.get("/v1/matrices/m/probe-set", params=query)


def measured_by(world: World, job_id: str) -> tuple[list[int], list[int]]:
    """Positions that a job measures, in order, and those of them that were drawn at random."""
    with world.database.read() as session:
        job = session.get_one(Job, job_id)
        assert job.positions is not None and job.random_positions is not None
        return np.frombuffer(job.positions, "<i4").tolist(), np.frombuffer(job.random_positions, "<i4").tolist()


def test_every_other_probe_is_at_random_and_each_lowers_the_expected_error(world: World) -> None:
    found = probe_set(world, size=8).json()
    assert (found["matrix"], found["matrix_version"], found["design"], found["seed"]) == ("m", 12, "mixed", 0)
    assert [probe["place"] for probe in found["data"]] == list(range(1, 9))
    assert [probe["at_random"] for probe in found["data"]] == [False, True] * 4
    assert len({probe["example_id"] for probe in found["data"]}) == 8
    assert all(probe["domain"] in DOMAINS for probe in found["data"])
    errors = [found["expected_error"], *(probe["expected_error"] for probe in found["data"])]
    assert errors[-1] < errors[1] < errors[0]
    assert found["numpy_version"] == np.__version__


@pytest.mark.parametrize("design", ["mixed", "optimal", "random"])
def test_a_smaller_set_is_the_beginning_of_a_larger_one(world: World, design: str) -> None:
    small, large, smaller = (probe_set(world, size=size, design=design, seed=3).json()["data"] for size in (4, 9, 2))
    assert small == large[:4]
    assert smaller == large[:2]
    assert large != probe_set(world, size=9, design=design, seed=4).json()["data"] or design == "optimal"


def test_the_error_of_a_domain_can_be_what_matters(world: World) -> None:
    everything = probe_set(world, size=6).json()
    cooking = probe_set(world, size=6, domain="cooking").json()
    two = probe_set(world, size=6, domain=["cooking", "code"]).json()
    assert (everything["domains"], cooking["domains"], two["domains"]) == ([], ["cooking"], ["code", "cooking"])
    assert len({everything["expected_error"], cooking["expected_error"], two["expected_error"]}) == 3
    unknown = probe_set(world, domain="magic")
    assert (unknown.status_code, unknown.json()["code"]) == (422, "invalid_request")
    assert unknown.json()["errors"][0]["pointer"] == "domain"


def test_a_new_fit_gives_a_new_set(world: World) -> None:
    first = probe_set(world).json()
    assert world.put_row("known-12", -world.forgetting[0]).status_code == 201
    assert probe_set(world).json() == first
    world.fit()
    assert probe_set(world).json()["matrix_version"] == 13


def test_more_probes_than_examples_are_refused(world: World) -> None:
    refused = probe_set(world, size=81)
    assert (refused.status_code, refused.json()["code"]) == (422, "too_many_examples_asked")


def test_without_a_fit_only_random_probes_are_there_to_read(empty_world: World) -> None:
    empty = probe_set(empty_world)
    assert (empty.status_code, empty.json()["code"]) == (409, "matrix_empty")
    empty_world.put_row("known", empty_world.forgetting[0])
    pending = probe_set(empty_world)
    assert (pending.status_code, pending.json()["code"]) == (503, "fit_pending")
    drawn = probe_set(empty_world, design="random", size=3).json()
    assert (drawn["matrix_version"], drawn["expected_error"]) == (None, None)
    assert all(probe["at_random"] and probe["expected_error"] is None for probe in drawn["data"])


def test_a_new_task_measures_the_matrix_s_mixed_probes(world: World) -> None:
    task = world.post_task(dataset=world.put_dataset(), size=7, probe_seed=5).json()
    assert (task["design"], task["designed_from"], task["probe_seed"]) == ("mixed", 12, 5)
    positions, at_random = measured_by(world, task["job"])
    wanted = probe_set(world, size=7, seed=5).json()["data"]
    assert [f"example-{position}" for position in positions] == [probe["example_id"] for probe in wanted]
    assert at_random == positions[1::2]
    job = world.client.get(f"/v1/jobs/{task['job']}").json()
    assert (job["design"], job["designed_from"]) == ("mixed", 12)


@pytest.mark.parametrize("design", ["mixed", "optimal", "random"])
def test_without_a_fit_a_task_s_probes_are_random_and_it_says_so(empty_world: World, design: str) -> None:
    """Both when no row is known and when the fit of the first is still to be made."""
    dataset = empty_world.put_dataset()
    first = empty_world.post_task(dataset=dataset, size=7, design=design).json()
    empty_world.put_row("known", empty_world.forgetting[0])
    second = empty_world.post_task(dataset=dataset, size=7, design=design, probe_seed=1).json()
    for task in (first, second):
        assert (task["design"], task["designed_from"]) == ("random", None)
        positions, at_random = measured_by(empty_world, task["job"])
        assert positions == at_random
    again = empty_world.post_task(dataset=dataset, size=7, design=design)
    assert (again.status_code, again.json()["id"]) == (200, first["id"])


def test_the_same_order_keeps_its_probes_whatever_was_fitted_since(world: World) -> None:
    dataset = world.put_dataset()
    first = world.post_task(dataset=dataset, size=7).json()
    world.put_row("known-12", -world.forgetting[0])
    world.fit()
    again = world.post_task(dataset=dataset, size=7)
    assert (again.status_code, again.json()["id"], again.json()["designed_from"]) == (200, first["id"], 12)


def test_a_further_job_has_a_design_of_its_own(world: World) -> None:
    task = world.post_task(id="t", dataset=world.put_dataset(), size=4).json()
    assert world.client.post(f"/v1/jobs/{task['job']}/cancel").status_code == 202
    more = world.client.post("/v1/tasks/t/jobs", json={"size": 6, "design": "optimal"}).json()
    assert (more["design"], more["designed_from"], more["n_examples"]) == ("optimal", 12, 6)
    assert measured_by(world, more["id"])[1] == []
    assert world.client.get("/v1/tasks/t").json()["design"] == "mixed"


def test_what_a_worker_measured_keeps_which_cells_were_drawn_at_random(world: World) -> None:
    task = world.post_task(id="t", dataset=world.put_dataset(), size=7).json()
    positions, at_random = measured_by(world, task["job"])
    before, after = np.zeros(7, np.float32), np.linspace(0.1, 0.7, 7, dtype=np.float32)
    with world.database.transaction() as session:
        hold_for_end(session, task["job"], before)
        record_measurement(session, task["job"], before, after, {})
        cells = tasks.read_cells(session, "t", 1, None)
    assert cells.positions[cells.at_random].tolist() == sorted(at_random)
    assert cells.forgetting[np.searchsorted(cells.positions, positions[2])] == pytest.approx(after[2])
    shared = world.post_task(id="again", dataset=world.put_dataset(), size=7).json()
    assert (shared["n_measured"], shared["design"], shared["designed_from"]) == (7, "mixed", 12)


def test_posted_cells_say_each_whether_they_were_drawn_at_random(world: World) -> None:
    world.post_task(id="t", measure="none")
    cells = [{"example_id": f"example-{i}", "forgetting": 0.1, "at_random": i % 2 == 1} for i in range(6)]
    cells.append({"example_id": "example-6", "forgetting": 0.1})
    answer = world.measure("t", world.forgetting[0], cells=cells, probes_at_random=False)
    assert answer.status_code == 200, answer.text
    with world.database.read() as session:
        found = tasks.read_cells(session, "t", session.get_one(Task, "t").row_version, None)
    assert found.positions[found.at_random].tolist() == [1, 3, 5]
