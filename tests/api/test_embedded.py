"""A service without API keys: for this machine, for no page of another site, and for who has its start-up token."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from tests.api.test_bad_input import problem
from tests.api_keys import create_key

TOKEN = "the token of this start"
SHOWN = {"Authorization": f"Bearer {TOKEN}"}
LOCAL = "http://127.0.0.1:8737"


@pytest.fixture
def local(settings: Settings, database: Database) -> Iterator[TestClient]:
    """Reached at a loopback address, as `forgetcast up` is, and without a token."""
    with TestClient(create_app(settings, database, NoQueue()), base_url=LOCAL) as client:
        yield client


@pytest.fixture
def guarded(settings: Settings, database: Database) -> Iterator[TestClient]:
    with TestClient(create_app(settings, database, NoQueue(), TOKEN), base_url=LOCAL) as client:
        yield client


@pytest.mark.parametrize(
    "host", ["127.0.0.1:8737", "localhost:8737", "LOCALHOST", "[::1]:8737", "127.0.0.2", "localhost:9000"]
)
def test_names_of_this_machine_are_answered(local: TestClient, host: str) -> None:
    assert local.get("/v1/tasks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8737",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "0.0.0.0:8737",
        "192.168.1.7",
        "[::]",
        "127.0.0.1@evil.example",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/v1/api-keys", "/docs", "/metrics", "/v1/nothing"])
def test_other_names_are_not(local: TestClient, host: str, path: str) -> None:
    """A page of evil.example, whose name its owner has pointed at 127.0.0.1 meanwhile, is of the same origin."""
    assert problem(local.get(path, headers={"Host": host})) == (403, "cross_site")


@pytest.mark.parametrize(
    "said",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": "https://127.0.0.1:8737"},
        {"Origin": "http://localhost:8737"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": LOCAL, "Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_page_of_another_site_does_nothing(local: TestClient, said: dict[str, str]) -> None:
    form = said | {"Content-Type": "application/x-www-form-urlencoded"}
    assert problem(local.post("/v1/jobs/x/cancel", content=b"a=b", headers=form)) == (403, "cross_site")
    assert problem(local.get("/v1/api-keys", headers=said)) == (403, "cross_site")


@pytest.mark.parametrize(
    "said", [{}, {"Origin": LOCAL, "Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": LOCAL}]
)
def test_programs_and_the_pages_own_documentation_page_do(local: TestClient, said: dict[str, str]) -> None:
    assert local.post("/v1/upstream-sets", json={}, headers=said).status_code == 201


def test_without_its_token_nobody_is_let_in(guarded: TestClient) -> None:
    for headers in ({}, {"Authorization": "Bearer x"}, {"Authorization": f"Basic {TOKEN}"}):
        for method, path in (("GET", "/v1/api-keys"), ("POST", "/v1/api-keys"), ("GET", "/metrics")):
            refused = guarded.request(method, path, headers=headers)
            assert problem(refused) == (401, "unauthenticated")
            assert "start-up token" in refused.json()["detail"]
    said = guarded.get("/v1/caller", headers=SHOWN).json()
    assert said == {"key": None, "scopes": ["admin", "measure", "read", "submit"]}


def test_its_token_makes_no_other_name_and_no_other_site_its_own(guarded: TestClient) -> None:
    for said in ({"Host": "evil.example"}, {"Origin": "https://evil.example"}):
        assert problem(guarded.get("/v1/tasks", headers=SHOWN | said)) == (403, "cross_site")


def test_the_page_where_the_token_is_typed_needs_none(guarded: TestClient) -> None:
    assert guarded.get("/docs").status_code == 200
    assert guarded.get("/docs/").status_code == 401
    assert guarded.get("/healthz").status_code == 200


def test_the_first_key_ends_the_token(guarded: TestClient, database: Database) -> None:
    made = guarded.post("/v1/api-keys", json={"name": "first", "scopes": ["admin"]}, headers=SHOWN).json()
    assert problem(guarded.get("/v1/tasks", headers=SHOWN)) == (401, "unauthenticated")
    key = {"Authorization": f"Bearer {made['key']}"}
    assert guarded.get("/v1/tasks", headers=key).status_code == 200


def test_with_keys_any_name_and_any_site_may_ask_who_has_one(local: TestClient, database: Database) -> None:
    """A browser sends no key by itself."""
    with database.transaction() as session:
        key = create_key(session, "reader", [Scope.READ])
    headers = {"Authorization": f"Bearer {key}", "Host": "forgetcast.example", "Origin": "https://elsewhere.example"}
    assert local.get("/v1/tasks", headers=headers).status_code == 200


def test_who_asks_about_itself_a_moment_after_the_first_key_is_not_told_that_there_is_none(
    guarded: TestClient, database: Database
) -> None:
    assert guarded.get("/v1/caller", headers=SHOWN).status_code == 200
    with database.transaction() as session:  # by another process, as `forgetcast key create` does
        create_key(session, "first", [Scope.ADMIN])
    assert problem(guarded.get("/v1/caller", headers=SHOWN)) == (401, "unauthenticated")
