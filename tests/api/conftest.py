"""The service over a real database, spoken to as over HTTP, and a small world to ask about."""

from __future__ import annotations

import io
import json
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient
from numpy.typing import NDArray

from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import Table
from tests.conftest import empty
from tests.fits import fit_due_matrix

N_EXAMPLES = 80
DOMAINS = ("cooking", "history", "code", "poems")
RECIPE: dict[str, Any] = {"method": "full", "learning_rate": 1e-4, "steps": 10, "batch_size": 8, "max_tokens": 64}
SETTING: dict[str, Any] = {"scored": "response", "max_tokens": 128, "dtype": "float32"}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return settings_in(tmp_path)


def settings_in(home: Path) -> Settings:
    """Of a service whose state folder is `home`, with a model."""
    model = home / "model"
    model.mkdir()
    (model / "model.safetensors").write_bytes(b"not real weights, but bytes with a revision")
    (home / "models.toml").write_text(f'[models.tiny]\nfolder = "{model}"\n')
    return Settings(
        home=home,
        cache_dir=home / "cache",
        models=home / "models.toml",
        max_body_bytes=100_000,
        max_upload_bytes=1_000_000,
    )


@pytest.fixture
def database(sqlite_database: Database) -> Database:
    """SQLite; test_main_job.py asks the same on Postgres."""
    return sqlite_database


@pytest.fixture
def client(settings: Settings, database: Database) -> Iterator[TestClient]:
    app = create_app(settings, database, NoQueue())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client


def json_lines(values: list[dict[str, Any]]) -> bytes:
    return b"".join(json.dumps(value).encode() + b"\n" for value in values)


def npy(values: NDArray[Any]) -> bytes:
    target = io.BytesIO()
    np.save(target, values)
    return target.getvalue()


def examples(n: int = N_EXAMPLES) -> list[dict[str, Any]]:
    return [
        {"id": f"example-{i}", "text": f"text number {i}", "domain": DOMAINS[i % 4], "held_out": i % 10 == 0}
        for i in range(n)
    ]


@dataclass
class World:
    """A sealed upstream set, a matrix with known rows of rank 2, and ways to add to it."""

    client: TestClient
    database: Database
    forgetting: NDArray[np.float32]

    def put_row(self, task_id: str, values: NDArray[Any], **query: Any) -> Any:
        headers = {"Content-Type": "application/x-npy"}
        return self.client.put(f"/v1/matrices/m/rows/{task_id}", content=npy(values), headers=headers, params=query)

    def put_dataset(self, lines: list[dict[str, Any]] | None = None) -> str:
        content = json_lines(lines or [{"text": "one"}, {"text": "two"}])
        digest = sha256(content).hexdigest()
        assert self.client.put(f"/v1/datasets/{digest}", content=content).status_code in (200, 201)
        return digest

    def fit(self) -> None:
        assert fit_due_matrix(self.database)

    def post_task(self, **fields: Any) -> Any:
        return self.client.post("/v1/tasks", json={"matrix": "m", **fields})

    def measure(
        self, task_id: str, row: NDArray[Any], n_probes: int = 20, headers: dict[str, str] | None = None, **fields: Any
    ) -> Any:
        cells = [
            {"example_id": f"example-{i}", "forgetting": float(row[i])}
            for i in range(0, N_EXAMPLES, N_EXAMPLES // n_probes)
        ]
        body = {"setting": SETTING, "recipe": RECIPE, "cells": cells, **fields}
        return self.client.post(f"/v1/tasks/{task_id}/measurements", json=body, headers=headers)


def low_rank_rows(n_tasks: int, seed: int = 0) -> NDArray[np.float32]:
    random = np.random.default_rng(seed)
    factors = random.normal(size=(n_tasks, 2)) @ np.random.default_rng(99).normal(size=(2, N_EXAMPLES))
    return np.asarray(0.05 + 0.05 * factors + 0.005 * random.normal(size=factors.shape), np.float32)


@pytest.fixture
def empty_world(client: TestClient, database: Database) -> World:
    """The set and the matrix, without any row."""
    return make_empty_world(client, database)


def make_empty_world(client: TestClient, database: Database) -> World:
    assert client.post("/v1/upstream-sets", json={"id": "set"}).status_code == 201
    sealed = client.put("/v1/upstream-sets/set/examples", content=json_lines(examples()))
    assert sealed.status_code == 200, sealed.text
    wanted = {"id": "m", "upstream_set": "set", "model": "tiny", "recipe": RECIPE, "setting": SETTING}
    created = client.post("/v1/matrices", json=wanted)
    assert created.status_code == 201, created.text
    return World(client, database, low_rank_rows(12))


def make_world(client: TestClient, database: Database) -> World:
    made = make_empty_world(client, database)
    for place, row in enumerate(made.forgetting):
        assert made.put_row(f"known-{place}", row, family=f"family-{place % 4}").status_code == 201
    made.fit()
    return made


@pytest.fixture(scope="session")
def world_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of a world, made once: twelve uploads and a fit take longer than most tests."""
    home = tmp_path_factory.mktemp("world")
    database = Database(f"sqlite:///{home / 'world.db'}")
    Table.metadata.create_all(database.engine)
    with TestClient(create_app(settings_in(home), database, NoQueue())) as client:
        make_world(client, database)
    return home / "world.db"


@pytest.fixture(scope="session")
def world_schema(postgres_tables: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A Postgres schema with the rows of a world, made once. The tables that they were made in are left empty."""
    name = f"forgetcast_world_{uuid.uuid4().hex[:12]}"
    database = Database(postgres_tables)
    with TestClient(create_app(settings_in(tmp_path_factory.mktemp("world")), database, NoQueue())) as client:
        make_world(client, database)
        with database.transaction() as session:
            session.execute(sa.schema.CreateSchema(name))
            for table in Table.metadata.sorted_tables:
                session.execute(sa.text(f"CREATE TABLE {name}.{table.name} AS TABLE {table.name}"))
        empty(database)
        yield name
        with database.transaction() as session:
            session.execute(sa.schema.DropSchema(name, cascade=True))


@pytest.fixture
def world(client: TestClient, database: Database, request: pytest.FixtureRequest) -> World:
    """The set and the matrix with twelve known rows, fitted."""
    if database.is_sqlite:
        copy_file(request.getfixturevalue("world_file"), database)
    else:
        copy_schema(request.getfixturevalue("world_schema"), database)
    return World(client, database, low_rank_rows(12))


def copy_file(made: Path, database: Database) -> None:
    with (
        closing(sqlite3.connect(made)) as source,
        closing(sqlite3.connect(str(database.url.database))) as target,
    ):
        source.backup(target)


def copy_schema(made: str, database: Database) -> None:
    with database.transaction() as session:
        for table in Table.metadata.sorted_tables:
            session.execute(sa.text(f"INSERT INTO {table.name} TABLE {made}.{table.name}"))
