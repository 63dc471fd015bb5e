"""The whole way on a real language model: embedded, and on Postgres with Redis, with the same result."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from bundled.model import MODEL_ID, model_folder
from forgetcast.client import ForgetcastClient
from forgetcast.errors import ForgetcastError
from forgetcast.schemas import Forgotten, Job, MatrixCreate, ReplaySet
from service.models import BaseModelFiles, write_models

BUNDLED = Path(__file__).parents[1] / "bundled"
MATRIX = json.loads((BUNDLED / "matrix.json").read_text())
# The bundled recipe takes a minute and a half; two steps go the same way in a few seconds.
RECIPE = MATRIX["recipe"] | {"steps": 2, "warmup_steps": 0}
N_KNOWN, N_PROBES = 12, 12
READY_WITHIN, MEASURED_WITHIN = 120.0, timedelta(minutes=4)


@dataclass(frozen=True)
class Outcome:
    """What came out of one deployment."""

    job: Job
    forgotten: Forgotten
    row: np.ndarray
    replay_set: ReplaySet
    asked_again: bool


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not (model_folder() / "model.safetensors").exists():
        pytest.fail("the bundled model is not converted yet: run `make setup`")
    home = tmp_path_factory.mktemp("home")
    write_models(home / "models.toml", {MODEL_ID: BaseModelFiles(model_folder(), "")})
    upstream = (BUNDLED / "upstream.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (home / "upstream.jsonl").write_text("".join(upstream[::5]), encoding="utf-8")
    task = (BUNDLED / "new-task.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    (home / "task.jsonl").write_text("".join(task[:16]), encoding="utf-8")
    return home


@pytest.fixture(scope="module")
def embedded(home: Path) -> Outcome:
    """Through `forgetcast up`: SQLite, no queue."""
    port = free_port()
    with forgetcast(home, "up", "--port", str(port)):
        return the_main_job(home, port)


@pytest.fixture
def own_schema(postgres_url: str) -> Iterator[str]:
    """An empty Postgres schema, not even with tables."""
    name = f"forgetcast_e2e_{uuid.uuid4().hex[:12]}"
    url = sa.make_url(postgres_url)
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.schema.CreateSchema(name))
    yield url.update_query_dict({"options": f"-csearch_path={name}"}).render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.execute(sa.schema.DropSchema(name, cascade=True))
    engine.dispose()


def test_a_new_task_is_forecast_on_a_real_model(embedded: Outcome) -> None:
    assert set(embedded.job.seconds or {}) == {"load", "examine", "base", "fine_tune", "keep", "measure"}
    measured = [cell for cell in embedded.forgotten.data if cell.measured]
    assert len(embedded.forgotten.data) == embedded.row.size
    assert len(measured) == N_PROBES
    # Two steps change a model a little, and not every example by the same amount.
    values = np.array([cell.forgetting for cell in measured])
    assert np.isfinite(values).all() and 1e-6 < values.std() < 1.0


def test_the_replay_set_holds_the_texts_and_nothing_held_out(embedded: Outcome, home: Path) -> None:
    lines = (home / "upstream.jsonl").read_text(encoding="utf-8").splitlines()
    held_out = {example["id"] for example in map(json.loads, lines) if example["held_out"]}
    assert held_out
    assert not held_out & {example.id for example in embedded.replay_set.data}
    assert all(example.messages for example in embedded.replay_set.data)


def test_a_task_that_is_measured_already_is_not_measured_again(embedded: Outcome) -> None:
    assert embedded.asked_again


def test_postgres_and_redis_give_the_same_as_the_embedded_service(
    embedded: Outcome, home: Path, own_schema: str, redis_url: str
) -> None:
    servers = {"FORGETCAST_DATABASE_URL": own_schema, "FORGETCAST_REDIS_URL": redis_url}
    port = free_port()
    with forgetcast(home, "migrate", **servers) as migrate:
        assert migrate.wait(60) == 0
    worker = forgetcast(home, "worker", "--poll", "0.5", **servers)  # it hears of the end between two looks for work
    with forgetcast(home, "serve", "--port", str(port), **servers), worker:
        distributed = the_main_job(home, port)
    assert distributed.row == pytest.approx(embedded.row, abs=1e-4)
    top, same = ([cell.example_id for cell in one.forgotten.data[:20]] for one in (embedded, distributed))
    assert top == same


def the_main_job(home: Path, port: int) -> Outcome:
    """Register set, matrix and rows, submit the task, wait, and read what came out."""
    with ForgetcastClient(url=f"http://127.0.0.1:{port}", timeout=timedelta(seconds=90)) as client:
        wait_until_ready(client)
        client.upstream_sets.register(home / "upstream.jsonl", id="answers")
        matrix = MatrixCreate.model_validate(MATRIX | {"id": "m", "upstream_set": "answers", "recipe": RECIPE})
        client.matrices.create(matrix)
        random = np.random.default_rng(0)
        loadings = random.normal(size=(2, 100))
        for number in range(N_KNOWN):
            row = 0.01 + 0.01 * random.normal(size=2) @ loadings + 0.001 * random.normal(size=100)
            client.matrices.put_row("m", f"known-{number}", row.astype(np.float32))
        task = client.tasks.create(home / "task.jsonl", matrix="m", id="new", size=N_PROBES)
        job = task.wait(timeout=MEASURED_WITHIN)
        wait_until_fitted(client)
        again = client.tasks.create(home / "task.jsonl", matrix="m", size=N_PROBES)
        return Outcome(job, task.forgotten(100), task.to_numpy(), task.replay_set(size=10), again.existed)


def wait_until_ready(client: ForgetcastClient) -> None:
    until = time.monotonic() + READY_WITHIN
    while True:
        try:
            if client.ready().ready:
                return
        except ForgetcastError:
            assert time.monotonic() < until, "the service did not become ready"
        time.sleep(0.2)


def wait_until_fitted(client: ForgetcastClient) -> None:
    """Forecasts rest on the newest fit there is; both deployments shall be read with all rows in it."""
    until = time.monotonic() + READY_WITHIN
    while client.matrices.get("m").fitted_version != N_KNOWN:
        assert time.monotonic() < until, "the matrix was not fitted"
        time.sleep(0.2)


@contextmanager
def forgetcast(home: Path, *arguments: str, **settings: str) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the command line, ended with SIGTERM; its log is in the home folder, which clients here know."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("FORGETCAST_")}
    own = {"FORGETCAST_HOME": str(home), "FORGETCAST_CACHE_DIR": str(home / "cache")}
    with (home / f"{arguments[0]}.log").open("ab") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "forgetcast.cli", *arguments],
            env=inherited | own | settings,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        with pytest.MonkeyPatch.context() as patched:
            patched.setenv("FORGETCAST_HOME", str(home))
            yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
