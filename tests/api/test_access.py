"""Keys and scopes: open on loopback until the first key is made, then closed on every route."""

from __future__ import annotations

import re

import pytest
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service.operations.keys import create_key
from service.storage.database import Database

OPEN = {"/healthz", "/readyz"}


@pytest.fixture
def keys(client: TestClient, database: Database) -> dict[Scope, str]:
    """A key for every scope. The service notices within seconds; here it is made to look at once."""
    with database.transaction() as session:
        return {scope: create_key(session, scope.value, [scope]) for scope in Scope}


def routes(client: TestClient) -> list[tuple[str, str]]:
    paths = client.get("/openapi.json").json()["paths"]
    found = [
        (method.upper(), re.sub(r"{[^}]+}", "x", path))
        for path, methods in paths.items()
        if path not in OPEN
        for method in methods
    ]
    assert len(found) > 25
    return found


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}"}


def test_no_route_answers_without_a_key_once_there_is_one(client: TestClient, keys: dict[Scope, str]) -> None:
    for method, path in routes(client):
        answer = client.request(method, path)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated"), f"{method} {path}"
        assert answer.headers["www-authenticate"] == "Bearer"


def test_wrong_keys_all_look_the_same(client: TestClient, keys: dict[Scope, str]) -> None:
    real = keys[Scope.READ]
    wrong = [None, "", "Bearer", "Bearer x", "Basic abc", f"Bearer {real[:-1]}0", f"Bearer fck_{'a' * 8}_{'b' * 43}"]
    answers = []
    for header in wrong:
        answer = client.get("/v1/tasks", headers={} if header is None else {"Authorization": header})
        answers.append({**answer.json(), "request_id": ""})
    assert all(answer == answers[0] for answer in answers)


def test_a_key_opens_what_its_scope_names_and_nothing_else(client: TestClient, keys: dict[Scope, str]) -> None:
    assert client.get("/v1/tasks", headers=bearer(keys[Scope.READ])).status_code == 200
    refused = client.post("/v1/upstream-sets", json={}, headers=bearer(keys[Scope.READ]))
    assert (refused.status_code, refused.json()["code"]) == (403, "forbidden")
    assert client.post("/v1/upstream-sets", json={}, headers=bearer(keys[Scope.ADMIN])).status_code == 201


def test_the_secret_is_nowhere_in_the_database(database: Database, keys: dict[Scope, str]) -> None:
    from sqlalchemy import select

    from service.storage.tables import ApiKey

    with database.read() as session:
        stored = repr([vars(row) for row in session.scalars(select(ApiKey))])
    for key in keys.values():
        assert re.fullmatch(r"fck_[a-z0-9]{8}_[0-9A-Za-z]{43}", key)
        assert key.rpartition("_")[2] not in stored
