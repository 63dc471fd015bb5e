"""The same question gets the same answer: after lost replies, from many clients at once, and on any deployment."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor

import httpx2
import numpy as np
import pytest
import sqlalchemy as sa

from service.storage.tables import Job
from tests.faults.deployment import N_EXAMPLES, RECIPE, SETTING, Api, Deployment
from tests.faults.stage import Servers
from tests.workers.supervised import eventually

N_ROWS, N_MEASURED = 10, 8


@pytest.mark.fault(5)
def test_a_submission_whose_reply_was_lost_is_made_once(deployment: Deployment, servers: Servers) -> None:
    """Its commit has reached Postgres, the reply has not come back: asked again with the same key, it is the same."""
    api = deployment.api()
    body = {"matrix": "m", "dataset": api.put_dataset("slow:0"), "size": 5, "id": "lost-reply"}
    headers = {"Idempotency-Key": "one"}
    lost = servers.to_postgres.drop_reply(b"lost-reply")
    first = api.request("POST", "/v1/tasks", json=body, headers=headers, timeout=30)
    assert lost.dropped.wait(30) and first.status_code == 503
    second = api.request("POST", "/v1/tasks", json=body, headers=headers)
    assert second.status_code in (200, 202), second.text
    third = api.request("POST", "/v1/tasks", json=body, headers=headers)
    assert third.json()["job"] == second.json()["job"] is not None
    assert n_jobs(deployment) == 1


@pytest.mark.fault(14)
def test_fifty_submissions_with_one_idempotency_key_are_one(deployment: Deployment) -> None:
    api = deployment.api()
    body = {"matrix": "m", "dataset": api.put_dataset("slow:0"), "size": 5}
    headers = {"Idempotency-Key": "fifty"}

    def submit(_number: int) -> httpx2.Response:
        return api.request("POST", "/v1/tasks", json=body, headers=headers, timeout=60)

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(submit, range(50)))
    in_flight = [answer for answer in answers if answer.status_code == 409]
    assert {answer.json()["code"] for answer in in_flight} <= {"idempotency_in_flight"}
    made = [answer for answer in answers if answer.status_code == 202]
    assert len(made) + len(in_flight) == 50 and len({answer.text for answer in made}) == 1
    assert submit(0).text == made[0].text
    assert n_jobs(deployment) == 1
    other = api.request("POST", "/v1/tasks", json=body | {"size": 6}, headers=headers)
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_conflict")


def n_jobs(deployment: Deployment) -> int:
    with deployment.database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(Job)) or 0


@pytest.mark.fault(40)
def test_forecasts_are_equal_on_either_database_and_with_any_number_of_threads(
    deployment: Deployment, embedded: Deployment
) -> None:
    random = np.random.default_rng(0)
    rows = 0.05 + 0.05 * random.normal(size=(N_ROWS, 2)) @ random.normal(size=(2, N_EXAMPLES))
    rows = (rows + 0.005 * random.normal(size=rows.shape)).astype(np.float32)
    found = [forecast(deployment, rows, threads="1"), forecast(embedded, rows, threads="2")]
    assert np.isfinite(found[0]).all() and found[0].shape[0] == N_EXAMPLES
    assert np.abs(found[0] - found[1]).max() <= 1e-9


def forecast(deployment: Deployment, rows: np.ndarray, threads: str) -> np.ndarray:
    """Value and interval of each example of a task that was measured in part, (N, 3), fitted by a worker."""
    api = deployment.api(OPENBLAS_NUM_THREADS=threads)
    deployment.worker(OPENBLAS_NUM_THREADS=threads)
    for place, row in enumerate(rows):
        assert put_row(api, f"known-{place}", row).status_code == 201
    task = {"matrix": "m", "id": "new", "measure": "none"}
    assert api.request("POST", "/v1/tasks", json=task).status_code == 201
    cells = [
        {"example_id": f"example-{place}", "forgetting": float(rows[0][place]) + 0.01} for place in range(N_MEASURED)
    ]
    eventually(lambda: api.get("/v1/matrices/m").json()["fitted_version"] == N_ROWS)
    body = {"setting": SETTING, "recipe": RECIPE, "cells": cells}
    posted = api.request("POST", "/v1/tasks/new/measurements", json=body)
    assert posted.status_code == 200, posted.text
    lines = api.get("/v1/tasks/new/forgetting.jsonl").text.splitlines()
    return np.array([[cell["forgetting"], cell["low"], cell["high"]] for cell in map(json.loads, lines)])


def put_row(api: Api, task_id: str, row: np.ndarray) -> httpx2.Response:
    content = io.BytesIO()
    np.save(content, row)
    headers = {"Content-Type": "application/x-npy"}
    return api.request("PUT", f"/v1/matrices/m/rows/{task_id}", content=content.getvalue(), headers=headers)
