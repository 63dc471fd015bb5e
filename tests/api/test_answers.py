"""Forecasts are answered from memory only while they are what the database would give."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest
from fastapi.testclient import TestClient

from forgetcast.completion import MODEL_VERSION
from forgetcast.errors import DatabaseUnavailable
from forgetcast.schemas import Scope
from service.api.versions import VersionReader
from service.app import create_app
from service.operations import backtests
from service.queue import NoQueue
from service.storage.database import Database
from service.storage.versions import TaskVersions, versions_statement
from tests.api.conftest import World, low_rank_rows
from tests.api.test_main_job import NEW_ROW
from tests.api_keys import create_key
from tests.fits import backtest_due_matrix

WHOLE = ["forecast", "forgotten?k=7", "forgetting.npy", "forgetting.parquet", "forgetting.jsonl"]
REPLAY = ["replay-set?size=9", "replay-set.jsonl?size=9", "replay-set.parquet?size=9"]


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest) -> Database:
    found: Database = request.getfixturevalue(f"{request.param}_database")
    return found


@pytest.fixture
def client_of_measured(world: World) -> TestClient:
    world.post_task(id="new", measure="none", n_examples=640)
    assert world.measure("new", NEW_ROW).status_code == 200
    return world.client


@pytest.mark.parametrize("path", WHOLE + REPLAY)
def test_every_answer_is_the_same_again_and_not_sent_to_who_has_it(client_of_measured: TestClient, path: str) -> None:
    url = f"/v1/tasks/new/{path}"
    first, again = client_of_measured.get(url), client_of_measured.get(url)
    assert first.status_code == 200
    assert (again.content, again.headers["etag"]) == (first.content, first.headers["etag"])
    known = client_of_measured.get(url, headers={"If-None-Match": first.headers["etag"]})
    assert (known.status_code, known.content, known.headers["etag"]) == (304, b"", first.headers["etag"])


def test_different_questions_have_different_answers(client_of_measured: TestClient) -> None:
    questions = ["k=3", "k=4", "k=3&level=0.5", "k=3&domain=code", "k=3&min=9"]
    answers = [client_of_measured.get(f"/v1/tasks/new/forgotten?{question}").content for question in questions]
    again = [client_of_measured.get(f"/v1/tasks/new/forgotten?{question}").content for question in questions]
    assert len(set(answers)) == len(questions)
    assert again == answers


def test_a_new_measurement_is_seen_at_once(world: World, client_of_measured: TestClient) -> None:
    url = "/v1/tasks/new/forgotten?k=5"
    before = client_of_measured.get(url)
    world.measure("new", low_rank_rows(1, seed=9)[0], n_probes=40)
    after = client_of_measured.get(url, headers={"If-None-Match": before.headers["etag"]})
    assert after.status_code == 200
    assert after.json()["row_version"] == before.json()["row_version"] + 1


def test_a_back_test_changes_the_summary_and_its_etag(
    world: World, client_of_measured: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backtests, "MOST_LEFT_OUT", 1)
    client_of_measured.headers["Accept-Encoding"] = "identity"
    before = client_of_measured.get("/v1/tasks/new/forecast")
    assert backtest_due_matrix(world.database)
    after = client_of_measured.get("/v1/tasks/new/forecast", headers={"If-None-Match": before.headers["etag"]})
    assert before.json()["quality"] is None
    assert after.status_code == 200
    assert after.json()["quality"] is not None
    versions = after.json()
    tag = f'"{versions["matrix_version"]}-{versions["row_version"]}-{versions["model_version"]}"'
    assert after.headers["etag"] == tag


class Statement:
    """The real one, counted and held until `go`; or one that fails."""

    def __init__(self, world: World, error: Exception | None = None) -> None:
        self._inner = versions_statement(world.database, MODEL_VERSION)
        self._error = error
        self.asked: list[Sequence[str]] = []
        self.held, self.go = asyncio.Event(), asyncio.Event()

    async def versions(self, task_ids: Sequence[str]) -> dict[str, TaskVersions]:
        self.asked.append(task_ids)
        self.held.set()
        if self._error is not None:
            raise self._error
        await self.go.wait()
        return await self._inner.versions(task_ids)

    async def close(self) -> None:
        await self._inner.close()


def test_reads_of_one_moment_share_one_statement(world: World) -> None:
    async def ask() -> tuple[list[Any], list[Sequence[str]]]:
        statement = Statement(world)
        reader = VersionReader(statement)
        first = asyncio.create_task(reader.of("known-0"))
        await statement.held.wait()
        others = [asyncio.create_task(reader.of(name)) for name in ("known-0", "known-1", "known-1", "nobody")]
        leaving = asyncio.create_task(reader.of("known-1"))
        await asyncio.sleep(0)
        leaving.cancel()
        statement.go.set()
        found = await asyncio.gather(first, *others)
        await reader.close()
        return found, statement.asked

    found, asked = asyncio.run(ask())
    assert [versions and versions.task_id for versions in found] == ["known-0", "known-0", "known-1", "known-1", None]
    assert [sorted(task_ids) for task_ids in asked] == [["known-0"], ["known-0", "known-1", "nobody"]]


def test_everybody_who_waits_is_told_that_the_database_does_not_answer(world: World) -> None:
    async def ask() -> list[Any]:
        reader = VersionReader(Statement(world, DatabaseUnavailable("the database does not answer", retry_after=5)))
        return await asyncio.gather(*(reader.of(name) for name in "abab"), return_exceptions=True)

    assert [type(error) for error in asyncio.run(ask())] == [DatabaseUnavailable] * 4


def test_an_id_that_no_task_can_have_troubles_nobody_beside(world: World) -> None:
    async def ask() -> list[Any]:
        reader = VersionReader(versions_statement(world.database, MODEL_VERSION))
        found = await asyncio.gather(*(reader.of(name) for name in ("known-0", "\0", "\ud800", "known-1")))
        await reader.close()
        return found

    assert [versions and versions.task_id for versions in asyncio.run(ask())] == ["known-0", None, None, "known-1"]


def test_a_question_that_was_first_asked_by_its_etag_is_known_from_then_on(client_of_measured: TestClient) -> None:
    url, questions = "/v1/tasks/new/forgotten?k=7", client_of_measured.app.state.parts.questions  # type: ignore[attr-defined]
    etag = client_of_measured.get("/v1/tasks/new/forgotten?k=8").headers["etag"]
    asked = {"path": "/v1/tasks/new/forgotten", "query_string": b"k=7"}
    assert questions.of(asked) is None
    assert client_of_measured.get(url, headers={"If-None-Match": etag}).status_code == 304
    assert questions.of(asked).question.asked.task_id == "new"


def test_a_known_question_is_still_answered_only_to_who_may_read(client_of_measured: TestClient, world: World) -> None:
    url = "/v1/tasks/new/forgotten?k=3"
    assert client_of_measured.get(url).status_code == 200
    with world.database.transaction() as session:
        reader, measurer = create_key(session, "r", [Scope.READ]), create_key(session, "m", [Scope.MEASURE])
    with TestClient(create_app(client_of_measured.app.state.parts.settings, world.database, NoQueue())) as client:  # type: ignore[attr-defined]

        def status(key: str) -> int:
            return int(client.get(url, headers={"Authorization": f"Bearer {key}"} if key else {}).status_code)

        assert [status(key) for key in (reader, reader, measurer, "", "wrong", reader)] == [
            200,
            200,
            403,
            401,
            401,
            200,
        ]


def test_a_known_question_is_compressed_for_who_accepts_it(client_of_measured: TestClient) -> None:
    url, accepting = "/v1/tasks/new/forgotten?k=70", {"Accept-Encoding": "gzip"}
    plain = client_of_measured.get(url, headers={"Accept-Encoding": "identity"})
    for _ in range(2):
        packed = client_of_measured.get(url, headers=accepting)
        assert packed.headers["content-encoding"] == "gzip"
        assert packed.content == plain.content
        assert packed.headers["etag"] == plain.headers["etag"][:-1] + '-gzip"'
    known = client_of_measured.get(url, headers=accepting | {"If-None-Match": packed.headers["etag"]})
    assert known.status_code == 304
