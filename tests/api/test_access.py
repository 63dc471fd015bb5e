"""Keys and scopes: open on loopback until the first key is made, then closed on every route."""

from __future__ import annotations

import re
import time
from datetime import datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service.api.access import OPEN_PATHS
from service.api.dependencies import Requires
from service.api.routes import Route
from service.app import create_app
from service.operations.keys import new_key
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from service.storage.tables import ApiKey, Audit
from tests.api.conftest import World
from tests.api_keys import create_key


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
        if path not in OPEN_PATHS
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


def test_a_caller_learns_what_its_key_may_do(client: TestClient, keys: dict[Scope, str]) -> None:
    said = client.get("/v1/caller", headers=bearer(keys[Scope.READ])).json()
    assert (said["key"]["name"], said["scopes"]) == ("read", ["read"])
    assert keys[Scope.READ] not in str(said)


def test_without_keys_the_caller_is_anybody(client: TestClient) -> None:
    assert client.get("/v1/caller").json() == {"key": None, "scopes": ["admin", "measure", "read", "submit"]}


def test_the_secret_is_nowhere_in_the_database(database: Database, keys: dict[Scope, str]) -> None:
    with database.read() as session:
        stored = repr([vars(row) for row in session.scalars(sa.select(ApiKey))])
    for key in keys.values():
        assert re.fullmatch(r"fck_[a-z0-9]{8}_[0-9A-Za-z]{43}", key)
        assert key.rpartition("_")[2] not in stored


def test_every_route_names_the_scope_it_needs(client: TestClient) -> None:
    app: Any = client.app
    found = [each.original_route for each in iter_route_contexts(app.routes)]
    closed = [each for each in found if isinstance(each, APIRoute) and each.path not in OPEN_PATHS]
    assert len(closed) > 30
    for route in closed:
        assert isinstance(route, Route), f"{route.path} asks for its scope after the body"
        scopes = [each.call.scope for each in route.dependant.dependencies if isinstance(each.call, Requires)]
        assert len(scopes) == 1, f"{route.methods} {route.path}"


def test_what_is_not_a_route_is_closed_as_well(client: TestClient, keys: dict[Scope, str]) -> None:
    for path in ("/docs/", "/v1/nothing", "/", "/v1/tasks/", "//v1/tasks"):
        assert client.get(path).status_code == 401, path
    assert client.get("/openapi.json").status_code == 200


def test_the_page_where_a_key_is_typed_needs_none(client: TestClient, keys: dict[Scope, str]) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "/openapi.json" in page.text


@pytest.fixture
def admin(keys: dict[Scope, str]) -> dict[str, str]:
    return bearer(keys[Scope.ADMIN])


def test_a_key_is_shown_once_and_listed_without_its_secret(client: TestClient, admin: dict[str, str]) -> None:
    made = client.post("/v1/api-keys", json={"name": "ci", "scopes": ["read"]}, headers=admin)
    assert made.status_code == 201
    key = made.json()["key"]
    assert client.get("/v1/tasks", headers=bearer(key)).status_code == 200
    listed = client.get("/v1/api-keys", headers=admin)
    assert made.json()["id"] in [each["id"] for each in listed.json()["data"]]
    read = client.get(made.headers["location"], headers=admin)
    assert read.json() == {name: value for name, value in made.json().items() if name != "key"}
    for answer in (listed, read):
        assert key.rpartition("_")[2] not in answer.text


def test_two_keys_live_while_one_follows_the_other(
    client: TestClient, database: Database, admin: dict[str, str]
) -> None:
    old = client.post("/v1/api-keys", json={"name": "ci", "scopes": ["read"]}, headers=admin).json()
    url = f"/v1/api-keys/{old['id']}/rotate"
    new = client.post(url, json={"overlap": 3600}, headers=admin).json()
    assert (new["name"], new["scopes"]) == ("ci", ["read"])
    for key in (old["key"], new["key"]):
        assert client.get("/v1/tasks", headers=bearer(key)).status_code == 200
    newest = client.post(f"/v1/api-keys/{new['id']}/rotate", json={"overlap": 0}, headers=admin).json()
    assert client.get("/v1/tasks", headers=bearer(new["key"])).status_code == 401
    assert client.get("/v1/tasks", headers=bearer(newest["key"])).status_code == 200


def test_a_successor_lives_as_long_as_what_it_follows(client: TestClient, admin: dict[str, str]) -> None:
    wanted = {"name": "ci", "scopes": ["read"], "expires_in": 86_400}
    old = client.post("/v1/api-keys", json=wanted, headers=admin).json()
    new = client.post(f"/v1/api-keys/{old['id']}/rotate", json={"overlap": 60}, headers=admin).json()
    lives = datetime.fromisoformat(new["expires_at"]) - datetime.fromisoformat(new["created_at"])
    assert lives.total_seconds() == pytest.approx(86_400, abs=1)


def test_an_ended_key_gets_no_successor(client: TestClient, admin: dict[str, str]) -> None:
    made = client.post("/v1/api-keys", json={"name": "ci", "scopes": ["read"]}, headers=admin).json()
    client.delete(f"/v1/api-keys/{made['id']}", headers=admin)
    refused = client.post(f"/v1/api-keys/{made['id']}/rotate", json={}, headers=admin)
    assert (refused.status_code, refused.json()["code"]) == (409, "api_key_ended")


def test_a_revoked_key_ends_within_seconds_in_another_process_too(
    client: TestClient, database: Database, settings: Settings, admin: dict[str, str], keys: dict[Scope, str]
) -> None:
    """The second app shares nothing with the first but the database, as another process would."""
    with TestClient(create_app(settings, Database(database.url.render_as_string()), NoQueue())) as other:
        reader = bearer(keys[Scope.READ])
        assert other.get("/v1/tasks", headers=reader).status_code == 200
        key_id = keys[Scope.READ].split("_")[1]
        assert client.delete(f"/v1/api-keys/{key_id}", headers=admin).json()["revoked_at"]
        assert client.get("/v1/tasks", headers=reader).status_code == 401  # at once in the process that revoked it
        until = time.monotonic() + 5
        while other.get("/v1/tasks", headers=reader).status_code == 200 and time.monotonic() < until:
            time.sleep(0.1)
        assert other.get("/v1/tasks", headers=reader).status_code == 401


def test_an_expired_key_looks_like_an_unknown_one(client: TestClient, database: Database) -> None:
    with database.transaction() as session:
        expired = new_key(session, "old", [Scope.READ], timedelta(seconds=-1))
    answer = client.get("/v1/tasks", headers=bearer(str(expired.key)))
    unknown = client.get("/v1/tasks", headers=bearer(f"fck_{'a' * 8}_{'b' * 43}"))
    assert answer.status_code == 401
    assert {**answer.json(), "request_id": ""} == {**unknown.json(), "request_id": ""}


def test_wrong_keys_are_slowed_down_and_right_ones_are_not(client: TestClient, keys: dict[Scope, str]) -> None:
    wrong = bearer(f"fck_{'a' * 8}_{'b' * 43}")
    statuses = [client.get("/v1/tasks", headers=wrong).status_code for _ in range(30)]
    assert statuses[:20] == [401] * 20 and 429 in statuses
    slowed = client.get("/v1/tasks", headers=wrong)
    assert (slowed.status_code, slowed.json()["code"]) == (429, "rate_limited")
    assert 1 <= int(slowed.headers["retry-after"]) <= 60
    assert client.get("/v1/tasks", headers=bearer(keys[Scope.READ])).status_code == 200


@pytest.mark.parametrize("redis", [False, True])
def test_a_key_has_its_rate(
    settings: Settings, database: Database, request: pytest.FixtureRequest, redis: bool
) -> None:
    url = request.getfixturevalue("redis_url") if redis else ""
    slow = settings.model_copy(update={"rate_limit": "3/hour", "redis_url": url})
    with database.transaction() as session:
        mine, other = (bearer(create_key(session, name, [Scope.READ])) for name in ("mine", "other"))
    with TestClient(create_app(slow, database, NoQueue())) as client:
        statuses = [client.get("/v1/tasks", headers=mine).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]
        assert client.get("/v1/tasks", headers=other).status_code == 200


def test_a_redis_that_does_not_answer_locks_nobody_out(settings: Settings, database: Database) -> None:
    alone = settings.model_copy(update={"rate_limit": "3/hour", "redis_url": "redis://127.0.0.1:1/0"})
    with database.transaction() as session:
        mine = bearer(create_key(session, "mine", [Scope.READ]))
    with TestClient(create_app(alone, database, NoQueue())) as client:
        statuses = [client.get("/v1/tasks", headers=mine).status_code for _ in range(5)]
    assert statuses == [200, 200, 200, 429, 429]


def test_jobs_of_one_key_wait_up_to_a_cap(empty_world: World, settings: Settings, database: Database) -> None:
    small = settings.model_copy(update={"max_queued_jobs": 2})
    dataset = empty_world.put_dataset()
    with database.transaction() as session:
        mine, other = (bearer(create_key(session, name, [Scope.SUBMIT])) for name in ("mine", "other"))
    with TestClient(create_app(small, database, NoQueue())) as client:

        def order(name: str, headers: dict[str, str]) -> Any:
            body = {"id": name, "matrix": "m", "dataset": dataset, "size": 5, "seed": ord(name)}
            return client.post("/v1/tasks", json=body, headers=headers)

        assert [order(name, mine).status_code for name in "ab"] == [202, 202]
        refused = order("c", mine)
        assert (refused.status_code, refused.json()["code"]) == (429, "too_many_jobs")
        assert int(refused.headers["retry-after"]) >= 1
        assert order("d", other).status_code == 202


def test_what_administrators_do_is_written_down_for_good(
    client: TestClient, database: Database, keys: dict[Scope, str], admin: dict[str, str]
) -> None:
    made = client.post("/v1/api-keys", json={"name": "ci", "scopes": ["read"]}, headers=admin).json()
    client.post(f"/v1/api-keys/{made['id']}/rotate", json={}, headers=admin)
    client.delete(f"/v1/api-keys/{made['id']}", headers=admin)
    client.post("/v1/upstream-sets", json={"id": "set"}, headers=admin)
    first = client.get("/v1/audit", params={"limit": 3}, headers=admin).json()
    rest = client.get("/v1/audit", params={"limit": 3, "cursor": first["next_cursor"]}, headers=admin).json()
    entries = first["data"] + rest["data"]
    assert [entry["action"] for entry in entries] == ["upstream_set.create", "key.revoke", "key.rotate", "key.create"]
    assert {entry["actor"] for entry in entries} == {keys[Scope.ADMIN].split("_")[1]}
    assert made["key"].rpartition("_")[2] not in str(entries)
    for change in (sa.update(Audit).values(action="nothing"), sa.delete(Audit)):
        with pytest.raises(sa.exc.DBAPIError), database.engine.begin() as connection:
            connection.execute(change)
