"""The client against the real service over SQLite: both sides of the wire mean the same."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import pyarrow.parquet
import pytest
from fastapi.testclient import TestClient

from forgetcast import ForgetcastClient, errors
from forgetcast.schemas import Cell, Event, JobState, MatrixCreate, MeasurementsCreate, Recipe, Setting, Task
from forgetcast.schemas.reports import MatrixAnalysis, MatrixBacktest
from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage import jobs
from service.storage.database import Database
from service.storage.workers import note_worker
from tests.fits import backtest_due_matrix, fit_due_matrix

N_EXAMPLES = 70
RECIPE = Recipe(method="full", learning_rate=1e-4, steps=10, batch_size=8, max_tokens=64)
ROWS = np.random.default_rng(0).normal(0.1, 0.1, (4, N_EXAMPLES)).astype(np.float32)


class OverAsgi(httpx2.BaseTransport):
    """Hands requests to an app in this process; the next `n_lost` answers to POST are lost on their way back."""

    def __init__(self, app: Any) -> None:
        self._app = TestClient(app, base_url="http://127.0.0.1:8737", raise_server_exceptions=False)
        self.n_lost = 0

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = self._app.send(request)
        if request.method == "POST" and self.n_lost:
            self.n_lost -= 1
            raise httpx2.ReadError("connection reset")
        return answer


@pytest.fixture
def wire(tmp_path: Path, sqlite_database: Database) -> OverAsgi:
    """A service that knows one base model."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "models.toml").write_text(f'[models.tiny]\nfolder = "{tmp_path / "model"}"\n')
    settings = Settings(home=tmp_path, cache_dir=tmp_path / "cache", models=tmp_path / "models.toml")
    return OverAsgi(create_app(settings, sqlite_database, NoQueue()))


@pytest.fixture
def client(wire: OverAsgi, tmp_path: Path, sqlite_database: Database) -> Iterator[ForgetcastClient]:
    """A client of a service that has an upstream set, a matrix and four known rows."""
    with ForgetcastClient(url="http://127.0.0.1:8737", transport=wire) as client:
        file = tmp_path / "upstream.jsonl"
        file.write_bytes(upstream_lines())
        client.upstream_sets.register(file, id="set")
        client.matrices.create(MatrixCreate(id="m", upstream_set="set", model="tiny", recipe=RECIPE))
        for place, row in enumerate(ROWS):
            client.matrices.put_row("m", f"known-{place}", row, family=f"family-{place}", n_examples=100, seed=1)
        assert fit_due_matrix(sqlite_database)
        yield client


def upstream_lines() -> bytes:
    lines = [
        {"id": f"é-{place}", "text": f"text {place}", "domain": ("code", "poems")[place % 2], "held_out": place < 3}
        for place in range(N_EXAMPLES)
    ]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def post_probes(client: ForgetcastClient, task_id: str) -> None:
    cells = [Cell(example_id=f"é-{place}", forgetting=0.01 * place) for place in range(0, N_EXAMPLES, 5)]
    client.tasks.post_measurements(task_id, MeasurementsCreate(setting=Setting(), recipe=RECIPE, cells=cells))


def test_examples_come_back_in_order(client):
    examples = list(client.upstream_sets.examples("set"))
    assert [example.id for example in examples] == [f"é-{place}" for place in range(N_EXAMPLES)]
    assert [example.held_out for example in examples[:4]] == [True, True, True, False]


def test_the_same_examples_again_change_nothing_and_others_are_refused(client):
    assert client.upstream_sets.register(upstream_lines(), id="set").n_examples == N_EXAMPLES
    with pytest.raises(errors.UpstreamSetSealed):
        client.upstream_sets.register(b'{"id": "other"}\n', id="set")


def test_a_row_comes_back_as_it_went_in(client):
    assert np.array_equal(client.matrices.row("m", "known-2"), ROWS[2])


def test_a_row_by_example_id_is_the_same_row(client):
    by_id = {f"é-{place}": float(value) for place, value in enumerate(ROWS[2])}
    client.matrices.put_row("m", "by-id", by_id)
    assert np.array_equal(client.matrices.row("m", "by-id"), ROWS[2])


def test_a_row_imported_again_does_not_change_the_matrix(client):
    version = client.matrices.get("m").version
    client.matrices.put_row("m", "known-0", ROWS[0], family="family-0", n_examples=100, seed=1)
    assert client.matrices.get("m").version == version


def test_a_row_of_another_recipe_is_refused(client):
    client.matrices.put_row("m", "same", ROWS[0], recipe=RECIPE, setting=Setting())
    with pytest.raises(errors.RecipeMismatch):
        client.matrices.put_row("m", "other", ROWS[0], recipe=RECIPE.model_copy(update={"steps": 11}))


def test_a_repeat_is_no_known_row(client):
    client.matrices.put_row("m", "known-0.repeat", ROWS[0] + 0.01, repeat_of="known-0", seed=2)
    assert client.matrices.get("m").n_tasks == len(ROWS)
    assert client.tasks.get("known-0.repeat").task.repeat_of == "known-0"


def test_a_removed_row_is_gone(client):
    task: Task = client.tasks.get("known-3").task
    with pytest.raises(errors.VersionChanged):
        client.matrices.delete_row("m", "known-3", row_version=task.row_version + 1)
    client.matrices.delete_row("m", "known-3", row_version=task.row_version)
    with pytest.raises(errors.RowNotFound):
        client.matrices.row("m", "known-3")


def test_the_back_test_of_a_matrix_has_the_form_of_that_of_a_file(client, sqlite_database):
    assert backtest_due_matrix(sqlite_database)
    report = client.matrices.backtest("m")
    assert isinstance(report, MatrixBacktest)
    assert (report.matrix, report.default, report.left_out) == ("m", "blend", "families")
    assert report.methods["popularity"].tasks[0].spearman is not None
    analysis = client.matrices.analysis("m")
    assert isinstance(analysis, MatrixAnalysis)
    assert (analysis.n_tasks, analysis.n_examples) == (len(ROWS), N_EXAMPLES)


def test_a_task_that_posts_its_own_measurements_is_forecast(client):
    task = client.tasks.create(matrix="m", id="mine", n_examples=320)
    post_probes(client, task.id)
    forecast = task.forecast()
    assert (forecast.n_tasks, forecast.n_measured, forecast.n_examples) == (4, 14, N_EXAMPLES)
    forgotten = task.forgotten(5)
    row = task.to_numpy()
    assert forgotten.data[0].forgetting == pytest.approx(float(row.max()), abs=1e-6)
    assert [example.place for example in forgotten.data] == [1, 2, 3, 4, 5]
    assert {example.domain for example in task.forgotten(5, domain="poems").data} == {"poems"}


def test_a_replay_set_holds_no_example_that_is_held_out(client):
    task = client.tasks.create(matrix="m", id="mine", n_examples=320)
    post_probes(client, task.id)
    drawn = task.replay_set(size=N_EXAMPLES - 3, strategy="uniform")
    assert not {example.id for example in drawn.data} & {"é-0", "é-1", "é-2"}
    assert task.replay_set().manifest.size == 10  # 320 / 32


def test_a_replay_set_of_ids_is_joined_with_texts_that_stayed_here(client, tmp_path, sqlite_database):
    (tmp_path / "ids.jsonl").write_bytes(b"".join(b'{"id": "%d"}\n' % place for place in range(N_EXAMPLES)))
    client.upstream_sets.register(tmp_path / "ids.jsonl", id="ids")
    client.matrices.create(MatrixCreate(id="ids", upstream_set="ids", model="tiny", recipe=RECIPE))
    for place, row in enumerate(ROWS):
        client.matrices.put_row("ids", f"of-ids-{place}", row)
    assert fit_due_matrix(sqlite_database)
    task = client.tasks.create(matrix="ids", id="mine", n_examples=320)
    task.post_measurements({str(place): 0.01 * place for place in range(0, N_EXAMPLES, 5)}, source="a test")
    drawn = task.replay_set(size=4)
    assert drawn.without_text == drawn.ids
    hydrated = drawn.hydrate({str(place): f"text {place}" for place in range(N_EXAMPLES)})
    assert [example.text for example in hydrated.data] == [f"text {name}" for name in drawn.ids]


def test_a_whole_row_is_written_and_read_as_parquet(client, tmp_path):
    task = client.tasks.create(matrix="m", id="mine", n_examples=320)
    post_probes(client, task.id)
    task.to_parquet(tmp_path / "row.parquet", level=0.8)
    table = task.to_table(level=0.8)
    assert table.equals(pyarrow.parquet.read_table(tmp_path / "row.parquet"))
    assert table["example_id"].to_pylist() == [f"é-{place}" for place in range(N_EXAMPLES)]
    assert np.array_equal(table["forgetting"].to_numpy(), task.to_numpy())
    assert sum(table["measured"].to_pylist()) == 14


def test_known_rows_come_back_as_a_matrix_that_can_be_worked_with_here(client):
    client.tasks.create(matrix="m", id="mine", n_examples=320)
    known = client.matrices.known("m")
    assert np.array_equal(known.forgetting, ROWS)
    assert known.task_ids == tuple(f"known-{place}" for place in range(4))
    assert known.families == tuple(f"family-{place}" for place in range(4))
    assert known.domains is not None and (known.example_ids[1], known.domains[1]) == ("é-1", "poems")


@pytest.mark.parametrize("suffix", [".npy", ".parquet"])
def test_known_rows_are_exported_as_the_service_has_them(client, tmp_path, suffix):
    path = tmp_path / f"rows{suffix}"
    client.matrices.export("m", str(path))
    if suffix == ".npy":
        assert np.array_equal(np.load(path), ROWS)
    else:
        table = pyarrow.parquet.read_table(path)
        assert np.array_equal(table["known-3"].to_numpy(), ROWS[3])


def test_rows_are_exported_in_formats_that_there_are(client, tmp_path):
    with pytest.raises(errors.ConfigurationError, match=r"\.npy or \.parquet"):
        client.matrices.export("m", tmp_path / "rows.csv")


def test_probes_are_nested_and_say_what_they_buy(client):
    probes = client.matrices.probe_set("m", size=8, domains=["poems"])
    assert [probe.place for probe in probes.data] == list(range(1, 9))
    assert (probes.design, probes.domains, probes.matrix_version) == ("mixed", ["poems"], 4)
    errors_after = [probes.expected_error, *(probe.expected_error for probe in probes.data)]
    assert all(after is not None for after in errors_after)
    assert client.matrices.probe_set("m", size=3, domains=["poems"]).data == probes.data[:3]


def test_a_forecast_of_an_older_version_stays_what_it_was(client, sqlite_database):
    task = client.tasks.create(matrix="m", id="mine", n_examples=320)
    post_probes(client, task.id)
    before = task.to_numpy()
    client.matrices.put_row("m", "known-4", ROWS[0] + 1)
    assert fit_due_matrix(sqlite_database)
    assert not np.array_equal(task.to_numpy(), before)
    assert np.array_equal(task.to_numpy(as_of=4), before)
    assert task.forgotten(3, as_of=4).matrix_version == 4


def test_data_uploaded_twice_orders_one_job(client, tmp_path):
    file = tmp_path / "task.jsonl"
    file.write_text('{"text": "one"}\n{"text": "two"}\n')
    first = client.tasks.create(file, matrix="m", size=10)
    second = client.tasks.create(file, matrix="m", size=10)
    assert (first.existed, second.existed) == (False, True)
    assert (second.id, second.task.job) == (first.id, first.task.job)
    assert first.task.n_examples == 2


def test_what_was_made_under_a_lost_answer_is_not_made_again(client, wire):
    wire.n_lost = 2
    task = client.tasks.create(matrix="m")
    assert [one.id for one in client.tasks.list(matrix="m") if not one.known] == [task.id]
    wire.n_lost = 1
    task.post_measurements({"é-3": 0.25, "é-5": 0.5})
    assert client.tasks.get(task.id).task.row_version == 1


def test_a_line_that_cannot_be_used_is_named_by_the_service(client):
    with pytest.raises(errors.ForgetcastError, match="line 2"):
        client.tasks.create(b'{"text": "one"}\n{"prompt": "two"}\n', matrix="m")


def test_nothing_measured_names_the_job_to_wait_for(client):
    task = client.tasks.create(b'{"text": "one"}\n', matrix="m", size=10)
    with pytest.raises(errors.NotMeasured) as raised:
        task.forecast()
    assert raised.value.location == f"/v1/jobs/{task.task.job}"


def test_a_cancelled_job_is_followed_to_its_end_and_ordered_again(client):
    task = client.tasks.create(b'{"text": "one"}\n', matrix="m", size=10)
    first = task.cancel()
    assert first is not None
    seen: list[Event] = []
    with pytest.raises(errors.JobFailed, match="was cancelled"):
        task.wait(on_event=seen.append)
    assert [event.id for event in seen] == [event.id for event in client.jobs.events(first.id)]
    task.measure_again()
    again = task.job()
    assert again is not None
    assert (again.state, again.n_examples) == (JobState.QUEUED, 10)
    assert again.id != first.id


def test_unknown_ids_are_errors_of_their_own(client):
    with pytest.raises(errors.UnknownReference):
        client.tasks.create(matrix="nothing")
    with pytest.raises(errors.TaskNotFound):
        client.tasks.get("nothing")
    with pytest.raises(errors.MatrixNotFound):
        client.matrices.get("nothing")


def test_a_database_without_its_schema_is_said_to_be_what_is_missing(client):
    ready = client.ready()
    assert not ready.ready
    assert "forgetcast migrate" in ready.missing[0]


def test_an_operator_sees_the_queue_workers_and_models(client, sqlite_database, tmp_path):
    (tmp_path / "task.jsonl").write_text('{"text": "one"}\n')
    task = client.tasks.create(tmp_path / "task.jsonl", matrix="m", hardware="a100")
    with sqlite_database.transaction() as session:
        note_worker(session, "w", host="gpu-1", hardware=["any"], gpu=None, version="1", job_id=None)
    queue = client.queue()
    assert (queue.n_queued, queue.n_running, queue.running) == (1, 0, [])
    assert [(waiting.hardware, waiting.n_jobs, waiting.starts_in_s) for waiting in queue.waiting] == [("a100", 1, None)]
    with sqlite_database.transaction() as session:
        assert jobs.claim(session, "w", ["a100"], timedelta(minutes=1)) is not None
    assert [(running.task, running.worker) for running in client.queue().running] == [(task.id, "w")]
    assert [(worker.id, worker.alive) for worker in client.workers()] == [("w", True)]
    assert [model.id for model in client.models()] == ["tiny"]


def test_an_unknown_task_is_caught_by_its_family(client):
    try:
        client.tasks.get("nobody")
    except errors.NotFound as caught:
        error = caught
    assert (type(error), error.code) == (errors.TaskNotFound, "task_not_found")
