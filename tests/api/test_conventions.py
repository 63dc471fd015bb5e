"""What holds on every route: problems, pages, validators, compression, places for who waits."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest
from fastapi.testclient import TestClient

from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from tests.api.conftest import World, low_rank_rows
from tests.api.test_bad_input import problem

ZIPPED = {"Accept-Encoding": "gzip"}
PLAIN = {"Accept-Encoding": "identity"}
LONG = "/v1/tasks/new/forgotten?k=80"


@pytest.fixture
def measured(world: World) -> TestClient:
    world.post_task(id="new", measure="none")
    world.measure("new", low_rank_rows(1, seed=5)[0])
    return world.client


def test_compressed_bytes_have_an_etag_of_their_own(measured: TestClient) -> None:
    plain, zipped = measured.get(LONG, headers=PLAIN), measured.get(LONG, headers=ZIPPED)
    assert zipped.headers["content-encoding"] == "gzip" and "content-encoding" not in plain.headers
    assert zipped.json() == plain.json()
    assert zipped.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    assert not plain.headers["etag"].startswith("W/")
    assert "accept-encoding" in zipped.headers["vary"].lower()


@pytest.mark.parametrize("accepts", [ZIPPED, PLAIN])
def test_either_etag_is_known_again_and_answered_as_it_was_sent(measured: TestClient, accepts: dict[str, str]) -> None:
    tag = measured.get(LONG, headers=accepts).headers["etag"]
    for sent in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        again = measured.get(LONG, headers=accepts | {"If-None-Match": sent})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == tag or sent == "*"
    assert measured.get(LONG, headers=accepts | {"If-None-Match": '"other"'}).status_code == 200


def test_what_is_small_or_dense_is_sent_as_it_is(measured: TestClient) -> None:
    for path in ("/healthz", "/v1/tasks/new", "/v1/matrices/m/rows.npy", "/v1/tasks/new/forgetting.parquet"):
        answer = measured.get(path, headers=ZIPPED)
        assert answer.status_code == 200
        assert "content-encoding" not in answer.headers, path


@pytest.mark.parametrize(
    ("accepted", "compressed"),
    [
        ("br, GZIP;q=0.5", True),
        ("gzip; q=1.0", True),
        ("gzip;q=0, identity", False),
        ("gzip;q=0.000", False),
        ("br", False),
        ("x-gzipped", False),
    ],
)
def test_gzip_is_sent_to_who_accepts_it(measured: TestClient, accepted: str, compressed: bool) -> None:
    for _ in range(2):  # by the routes, then from memory
        answer = measured.get(LONG, headers={"Accept-Encoding": accepted})
        assert answer.headers.get("content-encoding") == ("gzip" if compressed else None)
        assert "accept-encoding" in answer.headers["vary"].lower()


def test_compressed_answers_are_the_same_again(measured: TestClient) -> None:
    """A strong ETag promises so; gzip writes no time into its head. The routes give the first, memory the others."""
    answers = []
    for _ in range(3):
        with measured.stream("GET", LONG, headers=ZIPPED | {"X-Request-ID": "the-same-id"}) as answer:
            answers.append((b"".join(answer.iter_raw()), dict(answer.headers)))
    assert answers[0] == answers[1] == answers[2]
    assert gzip.decompress(answers[0][0])


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/v1/nothing", (404, "route_not_found")),
        ("GET", "/v1/tasks/", (404, "route_not_found")),
        ("GET", "//v1/tasks", (404, "route_not_found")),
        ("PUT", "/v1/tasks", (405, "method_not_allowed")),
        ("OPTIONS", "/v1/tasks", (405, "method_not_allowed")),
        ("TRACE", "/v1/tasks", (405, "method_not_allowed")),
        ("POST", "/healthz", (405, "method_not_allowed")),
    ],
)
def test_what_the_framework_answers_itself_is_a_problem(
    client: TestClient, method: str, path: str, expected: tuple[int, str]
) -> None:
    assert problem(client.request(method, path)) == expected


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/v1/tasks", "GET, HEAD, POST"),
        ("/v1/matrices/m/rows/x", "DELETE, GET, HEAD, PUT"),
        ("/v1/api-keys/x", "DELETE, GET, HEAD"),
        ("/healthz", "GET, HEAD"),
    ],
)
def test_a_405_names_every_method_of_the_path(client: TestClient, path: str, allowed: str) -> None:
    assert client.patch(path).headers["allow"] == allowed


def test_a_body_that_does_not_say_it_is_json_is_415(client: TestClient) -> None:
    as_form = client.post(
        "/v1/tasks", content='{"matrix": "m"}', headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    unsaid = client.post("/v1/tasks", content='{"matrix": "m"}')
    assert problem(as_form) == problem(unsaid) == (415, "unsupported_media_type")
    assert "application/json" in as_form.json()["detail"]
    assert problem(client.post("/v1/tasks")) == (422, "invalid_request")


def test_a_body_that_is_no_json_is_pointed_at_as_a_whole(client: TestClient) -> None:
    answer = client.post("/v1/tasks", content='{"matrix": }', headers={"Content-Type": "application/json"})
    assert problem(answer) == (422, "invalid_request")
    assert [field["pointer"] for field in answer.json()["errors"]] == [""]
    assert "at character 11" in answer.json()["detail"]


def test_a_request_may_bring_its_own_id(client: TestClient) -> None:
    assert client.get("/healthz", headers={"X-Request-ID": "trace-0123"}).headers["x-request-id"] == "trace-0123"
    for bad in ("x y", "short", "a" * 65, "<script>alert(1)</script>"):
        assert client.get("/healthz", headers={"X-Request-ID": bad}).headers["x-request-id"] != bad


def pages(client: TestClient, path: str, limit: int) -> Iterator[list[dict[str, Any]]]:
    cursor = None
    while True:
        page = client.get(path, params={"limit": limit} | ({"cursor": cursor} if cursor else {})).json()
        assert page["has_more"] == (page["next_cursor"] is not None)
        yield page["data"]
        cursor = page["next_cursor"]
        if cursor is None:
            return


def test_pages_hold_everything_once_also_when_something_is_added_meanwhile(empty_world: World) -> None:
    names = [f"task-{number:02}" for number in range(23)]
    for name in names:
        empty_world.post_task(id=name, measure="none")
    seen = []
    for page in pages(empty_world.client, "/v1/tasks", 5):
        assert len(page) <= 5
        seen += [task["id"] for task in page]
        empty_world.post_task(id=f"a-task-{len(seen)}", measure="none")  # before the cursor: not on a later page
    assert seen == names


@pytest.mark.parametrize(
    "path", ["/v1/tasks", "/v1/matrices", "/v1/api-keys", "/v1/audit", "/v1/upstream-sets/set/examples"]
)
def test_a_cursor_of_nobody_is_refused(empty_world: World, path: str) -> None:
    for cursor in ("!!", "ä", "////", "x" * 5000):
        answer = empty_world.client.get(path, params={"cursor": cursor})
        assert problem(answer) == (422, "invalid_request"), cursor


@pytest.fixture
def job_path(empty_world: World) -> str:
    ordered = empty_world.post_task(id="new", dataset=empty_world.put_dataset(), size=5)
    return f"/v1/jobs/{ordered.json()['job']}"


def test_too_many_at_once_are_told_to_come_again(settings: Settings, database: Database) -> None:
    full = settings.model_copy(update={"concurrent_requests": 0})
    with TestClient(create_app(full, database, NoQueue())) as client:
        answer = client.get("/v1/tasks")
        assert problem(answer) == (503, "busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert client.get("/healthz").status_code == 200


def test_too_many_who_wait_are_told_to_poll(job_path: str, settings: Settings, database: Database) -> None:
    none = settings.model_copy(update={"waiting_requests": 0})
    with TestClient(create_app(none, database, NoQueue())) as client:
        waiting = client.get(job_path, params={"wait": 5})
        following = client.get(f"{job_path}/events", headers={"Accept": "text/event-stream"})
        for answer in (waiting, following):
            assert problem(answer) == (503, "busy")
            assert int(answer.headers["retry-after"]) >= 1
        assert client.get(job_path).status_code == 200
