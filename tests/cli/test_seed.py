"""`forgetcast seed` against the service itself; the worker is played by whoever posts a whole row."""

from __future__ import annotations

import json

import numpy as np
import pytest

from forgetcast.cli.seeding.costs import Costs, costs_of_jobs, print_costs, spell
from forgetcast.cli.seeding.pool import find_candidates
from forgetcast.cli.seeding.run import worth_said
from forgetcast.client import ForgetcastClient
from forgetcast.completion.reports.rows_ahead import RowsAhead
from forgetcast.errors import BadDataset
from forgetcast.schemas import Job, MatrixCreate
from tests.cli.test_round_trip import RECIPE, URL, deployment, speak_to
from tests.client.answers import a_job

__all__ = ["speak_to"]

N_EXAMPLES = 12


@pytest.fixture
def past(tmp_path):
    """Four data sets of one's own, two of them of one family."""
    folder = tmp_path / "past"
    (folder / "support").mkdir(parents=True)
    for number in range(4):
        name = f"support/{number}.jsonl" if number < 2 else f"{number}.jsonl"
        (folder / name).write_text("".join(json.dumps({"text": f"set {number} line {n}"}) + "\n" for n in range(9)))
    return folder


@pytest.fixture
def service(tmp_path, speak_to, monkeypatch):
    """A service with an upstream set, and a folder whose forgetcast.toml names what there is to be."""
    monkeypatch.setenv("FORGETCAST_HOME", str(tmp_path / "elsewhere"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    recipe = "\n".join(
        f"{name} = {json.dumps(value)}" for name, value in RECIPE.model_dump(mode="json").items() if value
    )
    (tmp_path / "work" / "forgetcast.toml").write_text(
        f'model = "tiny"\nupstream_set = "set"\nmatrix = "m"\n[recipe]\n{recipe}\n'
    )
    with deployment(tmp_path / "home") as transport:
        speak_to(transport)
        with ForgetcastClient(url=URL, transport=transport) as client:
            lines = [{"id": f"e{place}", "text": f"text {place}"} for place in range(N_EXAMPLES)]
            client.upstream_sets.register("".join(f"{json.dumps(line)}\n" for line in lines).encode(), id="set")
            yield client


def test_candidates_are_told_by_their_data_and_families_by_their_folders(past):
    (past / "again.jsonl").write_bytes((past / "2.jsonl").read_bytes())
    found = find_candidates([str(past)], past)
    assert sorted(one.id for one in found) == ["0", "1", "2", "3"]
    assert sorted(one.family or "" for one in found) == ["", "", "support", "support"]


def test_starter_tasks_are_own_texts_alone_and_the_same_each_time(tmp_path):
    found = find_candidates(["starter"], tmp_path / "starter")
    assert len(found) == 32 and len({one.family for one in found}) == 8
    assert find_candidates(["starter"], tmp_path / "elsewhere")[5].sha256 == found[5].sha256


def test_a_place_without_data_is_refused(run, service, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadDataset, match="has no data set"):
        find_candidates([str(tmp_path / "empty")], tmp_path)
    assert run("seed", "--tasks", tmp_path / "nowhere", "--yes").exit_code == 2


def test_the_list_has_every_task_with_its_state(run, service, past):
    shown = [line.split() for line in run("seed", "--list", "--tasks", past).stdout.splitlines()]
    assert sorted(line[0] for line in shown[1:]) == ["0", "1", "2", "3"]
    matrix = MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE)
    service.matrices.create(matrix)
    service.tasks.create(past / "2.jsonl", matrix="m", id="two", measure="full")
    listed = json.loads(run("seed", "--list", "--tasks", past, "--json").stdout)
    assert {one["id"]: one["state"] for one in listed} == {"0": "", "1": "", "2": "at work", "3": ""}


def test_without_anybody_to_ask_nothing_is_ordered(run, service, past):
    result = run("seed", "--tasks", past, "--max-rows", 2)
    assert result.exit_code == 2 and "--yes orders it" in result.stderr
    assert "what a row costs is not known" in result.stdout and "no worker is alive" in result.stderr
    assert service.matrices.get("m").n_tasks == 0
    assert list(service.tasks.list()) == []


def measured_when_looked_at(monkeypatch, service):
    """A worker that measures a whole row whenever somebody waits for it."""
    random = np.random.default_rng(0)
    ordered = []

    def wait(handle, *, timeout=None, on_event=None):
        task = handle.task
        service.jobs.cancel(task.job)
        service.matrices.put_row("m", f"row-of-{task.id}", random.normal(size=N_EXAMPLES), dataset=task.dataset)
        ordered.append(task.id)
        return Job.model_validate(a_job(measure="full"))

    monkeypatch.setattr("forgetcast.client.task_handle.TaskHandle.wait", wait)
    return ordered


def test_rows_are_measured_until_the_matrix_has_so_many_and_the_same_command_goes_on(run, service, past, monkeypatch):
    ordered = measured_when_looked_at(monkeypatch, service)
    first = run("seed", "--tasks", past, "--max-rows", 2, "--yes")
    assert first.exit_code == 0, first.stderr
    assert service.matrices.get("m").n_tasks == 2 and len(ordered) == 2
    assert "next: `forgetcast forecast FILE --matrix m`" in first.stderr
    second = run("seed", "--tasks", past, "--max-rows", 4, "--yes")
    assert second.exit_code == 0, second.stderr
    assert len(set(ordered)) == len(ordered) == 4
    assert "4 rows: a forecast for a new task is off by about" in second.stdout
    names = {task.name for task in service.tasks.list() if task.name}
    assert names == {f"{number}.jsonl" for number in range(4)}
    third = run("seed", "--tasks", past, "--max-rows", 4, "--yes")
    assert "has 4 known rows" in third.stdout and len(ordered) == 4


def test_it_stops_at_the_error_that_was_asked_for(run, service, past, monkeypatch):
    measured_when_looked_at(monkeypatch, service)
    for place in range(4):
        service.matrices.create(MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE))
        service.matrices.put_row("m", f"known-{place}", np.random.default_rng(place).normal(size=N_EXAMPLES))
    result = run("seed", "--tasks", past, "--max-rows", 8, "--until-error", 100, "--yes")
    assert "the error asked for, 100, is reached" in result.stdout
    assert service.matrices.get("m").n_tasks == 5


def test_a_budget_that_has_no_room_for_a_row_orders_none(run, service, past, monkeypatch):
    ordered = measured_when_looked_at(monkeypatch, service)
    result = run("seed", "--tasks", past, "--budget", "0s", "--yes")
    assert (result.exit_code, ordered) == (0, [])


def test_a_set_that_is_missing_says_what_makes_one(run, service, tmp_path, past):
    (tmp_path / "work" / "forgetcast.toml").write_text('model = "tiny"\nupstream_set = "none"\nmatrix = "m"\n')
    result = run("seed", "--tasks", past, "--yes")
    assert result.exit_code == 1 and "forgetcast upstream sample" in result.stderr


def test_costs_are_those_of_the_newest_job_that_measured_a_row():
    seconds = {"load": 5.0, "base": 20.0, "fine_tune": 30.0, "measure": 20.0}
    whole = Job.model_validate(
        a_job(measure="full", n_examples=500, seconds=seconds, finished_at="2026-11-23T12:01:40Z")
    )
    probes = Job.model_validate(a_job(seconds=seconds))
    assert costs_of_jobs([probes], 500) is None
    found = costs_of_jobs([probes, whole], 500)
    assert found is not None and (found.row, found.base) == (78.0, 0.0)


def test_the_cost_of_all_rows_is_shared_by_workers(capsys):
    costs = Costs(row=1800.0, base=600.0, told_by="a test")
    assert print_costs(costs, 5, 2, on_gpus=True, has_base=False) == 600 + 3 * 1800
    said = capsys.readouterr().out
    assert "a row takes about 30 min, and the values before fine-tuning once 10 min (a test)" in said
    assert "5 rows with 2 workers: about 100 min, 2.7 GPU hours" in said or "1.7 h, 2.7 GPU hours" in said
    assert print_costs(costs, 5, 1, on_gpus=False, has_base=True) == 5 * 1800


def test_times_and_worth_are_said_as_people_say_them():
    assert [spell(seconds) for seconds in (42.0, 600.0, 9000.0)] == ["42 s", "10 min", "2.5 h"]
    said = worth_said(RowsAhead(n_rows=12, error=0.081, rel=0.63, left_out="families", slope=0.2))
    assert "off by about 0.081 nats per token, 0.63 of what column means are (their families left out)" in said
    assert "1 row more to 0.0797 and 4 rows more to 0.0765" in said
