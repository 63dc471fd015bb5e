"""A service as it runs in production, over an upstream set and a matrix of the paper's size, and tasks to ask about."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import psutil
import sqlalchemy as sa
from numpy.typing import NDArray

from forgetcast.schemas import Scope
from service.operations.fit_work import fit_here
from service.operations.keys import new_key
from service.storage import schema
from service.storage.database import Database

N_DOMAINS, N_PROBES = 20, 30
RECIPE = {"method": "full", "learning_rate": 2e-6, "steps": 1000, "batch_size": 8, "max_tokens": 1024}
JSON_LINES = {"Content-Type": "application/x-ndjson"}


@dataclass
class World:
    """The service's port, process and key, the ids of its tasks, and what building it took."""

    home: Path
    database_url: str
    key: str
    port: int = 0
    process: psutil.Process | None = None
    tasks: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    peaks: dict[str, int] = field(default_factory=dict)

    def memory(self) -> int:
        """Resident bytes of the service now; mapped files count."""
        return self._status("VmRSS")

    def peak(self) -> int:
        """The most it had since it started."""
        return self._status("VmHWM")

    def _status(self, name: str) -> int:
        assert self.process is not None
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(f"{name}:"))

    def client(self) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx2.Client(base_url=f"http://127.0.0.1:{self.port}", headers=headers, timeout=300, trust_env=False)

    @contextmanager
    def timed(self, what: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds[what] = time.perf_counter() - start


@contextmanager
def database(url: str, home: Path) -> Iterator[str]:
    """URL of an empty, migrated database: a schema of its own on Postgres, a file in `home` without a URL."""
    if not url:
        url = f"sqlite:///{home / 'forgetcast.db'}"
        schema.migrate(Database(url))
        yield url
        return
    name = f"forgetcast_bench_{uuid.uuid4().hex[:12]}"
    engine = sa.create_engine(url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.execute(sa.schema.CreateSchema(name))
    try:
        own = sa.make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
        schema.migrate(Database(own.render_as_string(hide_password=False)))
        yield own.render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.execute(sa.schema.DropSchema(name, cascade=True))


@contextmanager
def served(world: World) -> Iterator[None]:
    """`forgetcast serve` as a process of its own, on a free port."""
    environment = {
        **os.environ,
        "FORGETCAST_HOME": str(world.home),
        "FORGETCAST_CACHE_DIR": str(world.home / "cache"),
        "FORGETCAST_DATABASE_URL": world.database_url,
        "FORGETCAST_REDIS_URL": "",
    }
    world.port = free_port()
    command = [sys.executable, "-m", "forgetcast.cli", "serve", "--port", str(world.port)]
    with running(command, world.port, "/readyz", environment) as process:
        world.process = psutil.Process(process.pid)
        yield


@contextmanager
def running(
    command: list[str], port: int, path: str, environment: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A server process that answers at `path` with less than 500; stopped at the end."""
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(f"http://127.0.0.1:{port}{path}", process)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def build(world: World, n_examples: int, n_rows: int, n_tasks: int) -> None:
    """Upstream set, matrix, known rows of rank 5, their fit, and tasks with thirty measured cells each."""
    draws = np.random.default_rng(0)
    loadings = draws.normal(0, 0.05, (5, n_examples))
    (world.home / "model").mkdir()
    (world.home / "model" / "model.safetensors").write_bytes(b"the bytes of a model, to have a revision")
    (world.home / "models.toml").write_text(f'[models.m]\nfolder = "{world.home / "model"}"\n')
    with world.client() as client:
        _upload(world, client, n_examples)
        matrix = {"id": "matrix", "upstream_set": "set", "model": "m", "recipe": RECIPE}
        client.post("/v1/matrices", json=matrix).raise_for_status()
        with world.timed("import the known rows"):
            for number in range(n_rows):
                row = _row(draws, loadings)
                path = f"/v1/matrices/matrix/rows/known-{number}"
                client.put(path, content=npy(row), headers={"Content-Type": "application/x-npy"}).raise_for_status()
        with world.timed("fit"):
            assert fit_here(Database(world.database_url))
        for number in range(n_tasks):
            world.tasks.append(f"task-{number}")
            _measure(client, world.tasks[-1], _row(draws, loadings), draws)


def make_key(database_url: str) -> str:
    with Database(database_url).transaction() as session:
        return str(new_key(session, "benchmark", [Scope.ADMIN]).key)


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def npy(values: NDArray[Any]) -> bytes:
    target = io.BytesIO()
    np.save(target, values)
    return target.getvalue()


def _upload(world: World, client: httpx2.Client, n_examples: int) -> None:
    client.post("/v1/upstream-sets", json={"id": "set"}).raise_for_status()
    file = world.home / "upstream.jsonl"
    with file.open("w") as lines:
        for number in range(n_examples):
            text = (f"example {number} of the upstream set, as long as five hundred characters. " * 8)[:500]
            line = {"id": f"dolma/{number:06d}", "text": text, "domain": f"domain-{number % N_DOMAINS:02d}"}
            lines.write(json.dumps(line) + "\n")
    with world.timed("upload the upstream set"), file.open("rb") as source:
        chunks = iter(lambda: source.read(1 << 20), b"")
        client.put("/v1/upstream-sets/set/examples", content=chunks, headers=JSON_LINES).raise_for_status()
    world.peaks["upload"] = world.peak()
    file.unlink()


def _row(draws: np.random.Generator, loadings: NDArray[np.float64]) -> NDArray[np.float32]:
    row = 0.05 + draws.normal(size=loadings.shape[0]) @ loadings + draws.normal(0, 0.02, loadings.shape[1])
    return row.astype(np.float32)


def _measure(client: httpx2.Client, task_id: str, row: NDArray[np.float32], draws: np.random.Generator) -> None:
    client.post("/v1/tasks", json={"id": task_id, "matrix": "matrix", "measure": "none"}).raise_for_status()
    probes = draws.choice(row.size, N_PROBES, replace=False).tolist()
    cells = [{"example_id": f"dolma/{place:06d}", "forgetting": float(row[place])} for place in probes]
    body = {"setting": {}, "recipe": RECIPE, "cells": cells}
    # The answer is the task's first forecast; it is read in the process that serves, whose caches a restart empties.
    client.post(f"/v1/tasks/{task_id}/measurements", json=body).raise_for_status()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"the server at {url} ended with status {process.returncode}")
        try:
            if httpx2.get(url, trust_env=False).status_code < 500:
                return
        except httpx2.TransportError:
            pass
        time.sleep(0.1)
    raise SystemExit(f"nothing answers at {url}")
