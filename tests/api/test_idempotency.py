"""A creating request that is sent again under its Idempotency-Key is answered again and not done again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from forgetcast.schemas import Scope
from service.storage import idempotency
from service.storage.database import Database
from service.storage.tables import ApiKey, Idempotency, Job, Measurement, Task
from tests.api.conftest import World, low_rank_rows
from tests.api.test_bad_input import problem
from tests.api_keys import create_key

KEY = {"Idempotency-Key": "order-1"}


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    """Both, for on one a second request waits and on the other it is told."""
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


def count(database: Database, table: type[Any]) -> int:
    with database.read() as session:
        return session.scalar(sa.select(sa.func.count()).select_from(table)) or 0


def order(world: World, **fields: Any) -> Any:
    body = {"matrix": "m", "dataset": world.put_dataset(), "size": 5, **fields}
    return world.client.post("/v1/tasks", json=body, headers=KEY)


def test_the_same_request_is_answered_again_and_marked(empty_world: World, database: Database) -> None:
    first, again = order(empty_world), order(empty_world)
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert (again.status_code, again.json()) == (first.status_code, first.json())
    assert again.headers["location"] == first.headers["location"]
    assert (count(database, Task), count(database, Job)) == (1, 1)


def test_the_answer_is_the_first_one_also_when_the_thing_has_changed(empty_world: World) -> None:
    first = order(empty_world)
    empty_world.client.post(f"{first.headers['location']}/cancel")
    assert order(empty_world).json() == first.json()


def test_another_request_under_the_same_key_is_refused(empty_world: World, database: Database) -> None:
    order(empty_world)
    assert problem(order(empty_world, size=6)) == (422, "idempotency_conflict")
    other_path = empty_world.client.post("/v1/upstream-sets", json={}, headers=KEY)
    assert problem(other_path) == (422, "idempotency_conflict")
    assert count(database, Task) == 1


def test_a_request_that_failed_may_be_sent_again_corrected(empty_world: World) -> None:
    assert problem(order(empty_world, matrix="absent")) == (422, "unknown_reference")
    assert order(empty_world).status_code == 202


def test_fifty_at_once_make_one_task(empty_world: World, database: Database) -> None:
    empty_world.put_dataset()
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: order(empty_world, id="one"), range(50)))
    assert (count(database, Task), count(database, Job)) == (1, 1)
    done = [answer for answer in answers if answer.status_code == 202]
    assert len({answer.text for answer in done}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in done) == 1
    for answer in answers:
        if answer.status_code != 202:
            assert problem(answer) == (409, "idempotency_in_flight")
            assert answer.headers["retry-after"] == "1"


def test_fifty_at_once_without_a_key_but_with_one_id_make_one_task(empty_world: World, database: Database) -> None:
    body = {"id": "one", "matrix": "m", "dataset": empty_world.put_dataset(), "size": 5}
    with ThreadPoolExecutor(10) as threads:
        answers = list(threads.map(lambda _: empty_world.client.post("/v1/tasks", json=body), range(50)))
    assert sorted({answer.status_code for answer in answers}) == [200, 202]
    assert (count(database, Task), count(database, Job)) == (1, 1)


def test_a_key_that_is_held_is_in_flight(empty_world: World, database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("a second writer waits on SQLite, so it always finds the first one's answer")
    dataset = empty_world.put_dataset()
    with database.transaction() as session:
        assert idempotency.take(session, "", "order-1") is None
        body = {"matrix": "m", "dataset": dataset, "size": 5}
        answer = empty_world.client.post("/v1/tasks", json=body, headers=KEY)
    assert problem(answer) == (409, "idempotency_in_flight")
    assert order(empty_world).status_code == 202


def test_a_kept_answer_is_forgotten_after_a_day(empty_world: World, database: Database) -> None:
    order(empty_world)
    with database.transaction() as session:
        session.execute(sa.update(Idempotency).values(created_at=Idempotency.created_at - 24 * 3600))
    other = empty_world.client.post("/v1/upstream-sets", json={}, headers=KEY)
    assert other.status_code == 201
    assert count(database, Idempotency) == 1


def test_measurements_are_added_once(world: World, database: Database) -> None:
    world.post_task(id="new", measure="none")
    before = count(database, Measurement)
    row = low_rank_rows(1, seed=5)[0]
    first, again = (world.measure("new", row, headers=KEY) for _ in range(2))
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() and again.headers["idempotency-replayed"] == "true"
    assert count(database, Measurement) == before + 1


def test_keys_of_two_callers_are_two(client: TestClient, database: Database) -> None:
    with database.transaction() as session:
        callers = [create_key(session, name, [Scope.ADMIN]) for name in ("a", "b")]
    answers = [
        client.post("/v1/upstream-sets", json={}, headers=KEY | {"Authorization": f"Bearer {key}"}) for key in callers
    ]
    assert [answer.status_code for answer in answers] == [201, 201]
    assert answers[0].json()["id"] != answers[1].json()["id"]


def test_a_secret_is_not_kept_for_a_second_answer(client: TestClient, database: Database) -> None:
    body = {"name": "ci", "scopes": ["admin"]}
    first = client.post("/v1/api-keys", json=body, headers=KEY)
    headers = KEY | {"Authorization": f"Bearer {first.json()['key']}"}
    assert first.status_code == 201 and count(database, ApiKey) == 1
    with database.read() as session:
        kept = repr([vars(row) for row in session.scalars(sa.select(Idempotency))])
    assert first.json()["key"] not in kept
    # The caller is now the key itself, so the same Idempotency-Key is another one.
    second = client.post("/v1/api-keys", json=body, headers=headers)
    again = client.post("/v1/api-keys", json=body, headers=headers)
    assert second.json()["key"].startswith("fck_")
    assert again.json() == second.json() | {"key": None}


@pytest.mark.parametrize("key", ["", "a" * 256, "two words", "ä"])
def test_a_key_that_is_none_is_refused(empty_world: World, key: str) -> None:
    answer = empty_world.client.post("/v1/upstream-sets", json={}, headers={b"Idempotency-Key": key.encode()})
    assert problem(answer) == (422, "limit_exceeded" if len(key) > 255 else "invalid_request")
