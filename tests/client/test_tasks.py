"""Tasks through the client: data first, then the task, then its job, then what it says."""

from __future__ import annotations

import hashlib
import io
import json
import sys
from pathlib import Path

import httpx2
import numpy as np
import pytest

from forgetcast import errors
from forgetcast.schemas import JobState
from tests.cli.world import FORECAST, MATRIX
from tests.client.answers import a_job, a_task, event_stream, ok, page

DATASET = b'{"text": "one"}\n{"text": "two"}\n'


@pytest.mark.parametrize("named", [Path, str])
def test_data_is_uploaded_under_its_sha256_and_named_by_it(client, service, tmp_path, named):
    file = tmp_path / "task.jsonl"
    file.write_bytes(DATASET)
    service.will(ok({}, 201), ok(a_task(), 202))
    client.tasks.create(named(file), matrix="m")
    upload, create = service.requests
    sha256 = hashlib.sha256(DATASET).hexdigest()
    assert (upload.method, upload.url.path, upload.content) == ("PUT", f"/v1/datasets/{sha256}", DATASET)
    assert json.loads(create.content)["dataset"] == sha256
    assert json.loads(create.content)["measure"] == "probe"


def test_bytes_are_uploaded_as_a_file_is(client, service):
    service.will(ok({}, 201), ok(a_task(), 202))
    client.tasks.create(DATASET, matrix="m")
    assert service.requests[0].content == DATASET


def test_a_task_without_data_orders_no_measuring(client, service):
    service.will(ok(a_task(job=None), 201))
    client.tasks.create(matrix="m", id="mine")
    sent = json.loads(service.requests[0].content)
    assert (sent["measure"], sent["dataset"], sent["id"]) == ("none", None, "mine")


@pytest.mark.parametrize(("status", "existed"), [(200, True), (201, False), (202, False)])
def test_the_handle_says_whether_the_task_existed(client, service, status, existed):
    service.will(ok(a_task(), status))
    assert client.tasks.create(matrix="m").existed is existed


def test_waiting_gives_the_job_that_succeeded(client, service):
    service.will(ok(a_task()), event_stream(), ok(a_job()), page([]))
    assert client.tasks.get("t").wait(on_event=lambda event: None).state is JobState.SUCCEEDED


def test_a_failed_job_is_raised_with_its_reason(client, service):
    error = {"code": "bad_dataset", "detail": "line 3 has no response"}
    service.will(ok(a_task()), ok(a_job("failed", error=error)))
    with pytest.raises(errors.JobFailed, match=r"failed: line 3 has no response \(bad_dataset\)"):
        client.tasks.get("t").wait()


def test_a_cancelled_job_is_raised_as_cancelled(client, service):
    service.will(ok(a_task()), ok(a_job("cancelled")))
    with pytest.raises(errors.JobFailed, match="was cancelled"):
        client.tasks.get("t").wait()


def test_a_task_without_a_job_cannot_be_waited_for(client, service):
    service.will(ok(a_task(job=None)))
    with pytest.raises(errors.JobNotFound, match="no job"):
        client.tasks.get("t").wait()


def test_measuring_again_orders_what_the_task_had_ordered(client, service):
    service.will(ok(a_task(size=12, probe_seed=5)), ok(a_job("queued", id="job_2"), 202), ok(a_job(id="job_2")))
    task = client.tasks.get("t")
    task.measure_again()
    sent = json.loads(service.requests[1].content)
    assert (sent["measure"], sent["size"], sent["probe_seed"]) == ("probe", 12, 5)
    assert task.wait().id == "job_2"


def test_the_whole_row_comes_as_an_array(client, service):
    values = np.linspace(-1, 1, 5, dtype=np.float32)
    buffer = io.BytesIO()
    np.save(buffer, values)
    service.will(httpx2.Response(200, content=buffer.getvalue()))
    assert np.array_equal(client.tasks.to_numpy("t"), values)


def test_an_array_that_would_be_unpickled_is_refused(client, service):
    buffer = io.BytesIO()
    np.save(buffer, np.array([{}], dtype=object), allow_pickle=True)
    service.will(httpx2.Response(200, content=buffer.getvalue()))
    with pytest.raises(ValueError, match="allow_pickle"):
        client.tasks.to_numpy("t")


def test_an_older_version_is_asked_for_in_every_read(client, service, tmp_path):
    service.will(httpx2.Response(404))
    task = "t"
    reads = [
        lambda: client.tasks.forecast(task, as_of=3),
        lambda: client.tasks.forgotten(task, as_of=3),
        lambda: client.tasks.replay_set(task, as_of=3),
        lambda: client.tasks.to_numpy(task, as_of=3),
        lambda: client.tasks.to_parquet(task, tmp_path / "row.parquet", as_of=3),
        lambda: client.tasks.to_table(task, as_of=3),
        lambda: client.matrices.backtest("m", as_of=3),
    ]
    for read in reads:
        with pytest.raises(errors.UnexpectedAnswer):
            read()
    assert [request.url.params["as_of"] for request in service.requests] == ["3"] * len(reads)


@pytest.mark.parametrize("named", [Path, str])
def test_a_file_appears_when_it_is_whole(client, service, tmp_path, named):
    path = tmp_path / "row.parquet"
    service.will(httpx2.Response(200, content=b"PAR1" * 1000))
    client.tasks.to_parquet("t", named(path))
    assert path.read_bytes() == b"PAR1" * 1000
    assert list(tmp_path.glob(".*")) == []


def test_a_download_that_breaks_off_leaves_the_file_as_it_was(client, service, tmp_path):
    path = tmp_path / "row.parquet"
    path.write_bytes(b"of yesterday")

    def broken():
        yield b"PAR1"
        raise httpx2.ReadError("gone")

    service.will(lambda request: httpx2.Response(200, content=broken()))
    with pytest.raises(errors.ServiceUnreachable):
        client.tasks.to_parquet("t", path)
    assert path.read_bytes() == b"of yesterday"
    assert [one.name for one in tmp_path.iterdir() if one.is_file()] == ["row.parquet"]
    assert len(service.requests) == 3


def test_an_extra_that_is_not_installed_is_named_with_its_command(client, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(errors.ConfigurationError, match=r"pip install 'forgetcast\[parquet\]'"):
        client.tasks.to_table("t")


def test_ctrl_c_leaves_the_job_running_and_says_so(client, service):
    service.will(ok(a_task()), KeyboardInterrupt())
    task = client.tasks.get("t")
    with pytest.raises(KeyboardInterrupt) as interrupted:
        task.wait(on_event=lambda event: None)
    assert interrupted.value.__notes__ == ["job job_1 goes on: client.jobs.wait('job_1') waits for it again"]
    assert not [request for request in service.requests if request.method == "POST"]


def test_own_measurements_are_under_the_recipe_of_the_matrix_where_none_is_named(client, service):
    service.will(ok(a_task()), ok(MATRIX), ok(FORECAST))
    client.tasks.get("t").post_measurements({"é": 0.25}, source="my run", seed=3)
    sent = json.loads(service.requests[2].content)
    assert sent["recipe"]["learning_rate"] == MATRIX["recipe"]["learning_rate"]
    assert sent["cells"] == [{"example_id": "é", "forgetting": 0.25}]
    assert (sent["source"], sent["seed"]) == ("my run", 3)


def test_own_measurements_are_stored_also_while_there_is_no_forecast(client, service):
    stored = {**a_task(), "n_measured": 1, "warnings": ["fit_pending: the matrix 'm' has no fit yet"]}
    service.will(ok(a_task()), ok(MATRIX), ok(stored, 202))
    answer = client.tasks.get("t").post_measurements({"é": 0.25})
    assert (answer.id, answer.n_measured, answer.warnings) == ("t", 1, stored["warnings"])


def test_only_what_is_given_is_asked_of_a_replay_set(client, service):
    service.will(httpx2.Response(404))
    with pytest.raises(errors.UnexpectedAnswer):
        client.tasks.replay_set("t", size=10, ratio=None, strategy="top")
    assert dict(service.requests[0].url.params) == {"size": "10", "strategy": "top"}


def test_an_id_that_cannot_be_one_is_refused_before_anything_is_sent(client, service):
    with pytest.raises(errors.InvalidRequest, match="id: "):
        client.tasks.create(matrix="m", id="my task")
    assert service.requests == []


def test_an_id_stays_one_step_of_the_path(client, service):
    service.will(ok(a_task()))
    client.tasks.get("../keys?x")
    assert service.requests[0].url.raw_path == b"/v1/tasks/..%2Fkeys%3Fx"
