"""Tasks through the client: data first, then the task, then its job, then what it says."""

from __future__ import annotations

import hashlib
import io
import json

import httpx2
import numpy as np
import pytest

from forgetcast import errors
from forgetcast.schemas import JobState
from tests.client.answers import a_job, a_task, event_stream, ok, page

DATASET = b'{"text": "one"}\n{"text": "two"}\n'


def test_data_is_uploaded_under_its_sha256_and_named_by_it(client, service, tmp_path):
    file = tmp_path / "task.jsonl"
    file.write_bytes(DATASET)
    service.will(ok({}, 201), ok(a_task(), 202))
    client.tasks.create(file, matrix="m")
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
