"""Strangers and slow clients keep nobody out: each test has more of them than there are places."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest
import sqlalchemy as sa

from forgetcast.schemas import Scope
from service import server_protocol
from service.app import create_app
from service.queue import NoQueue
from service.settings import Settings
from service.storage.database import Database
from tests.api_keys import create_key
from tests.slow_clients import answer_of, ask, dribbling, head, serving, within

PLACES = 4
MANY = 3 * PLACES
NO_KEY = f"fck_{'a' * 8}_{'b' * 43}"


@dataclass(frozen=True)
class Served:
    """A service with few places and little patience, and a key for each scope."""

    port: int
    keys: dict[Scope, str]

    @property
    def reader(self) -> str:
        return self.keys[Scope.READ]

    def answers(self) -> bool:
        """Whether a read with a key is answered, soon."""
        status, seconds = ask(self.port, "GET", "/v1/tasks", key=self.reader)
        return status == 200 and seconds < 5


@pytest.fixture
def served(sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Served]:
    monkeypatch.setattr(server_protocol, "HEAD_SECONDS", 1.0)
    monkeypatch.setattr(server_protocol, "LINGER_SECONDS", 0.5)
    monkeypatch.setattr(server_protocol, "TAKE_SECONDS", 1.0)
    monkeypatch.setattr(server_protocol, "MOST_STRANGERS", MANY)
    monkeypatch.setattr("service.api.limits.BODY_GRACE", 1.0)
    with sqlite_database.transaction() as session:
        keys = {scope: create_key(session, scope.value, [scope]) for scope in Scope}
    settings = Settings(
        home=tmp_path, concurrent_requests=PLACES, body_idle=timedelta(seconds=1), failed_logins="5/minute"
    )
    with serving(create_app(settings, sqlite_database, NoQueue())) as port:
        yield Served(port, keys)


BODY = {"Content_Type": "application/json", "Content_Length": "100000"}
UPLOAD = {"Content_Type": "text/plain", "Content_Length": "100000"}
DATASET = f"/v1/datasets/{'0' * 64}"


@pytest.mark.parametrize("key", ["", NO_KEY, "no key at all"])
def test_strangers_who_send_a_byte_at_a_time_hold_no_place(served: Served, key: str) -> None:
    with dribbling(served.port, head("POST", "/v1/tasks", key=key, **BODY), MANY):
        assert all(served.answers() for _ in range(20))


@pytest.mark.parametrize(("method", "path", "body"), [("POST", "/v1/tasks", BODY), ("PUT", DATASET, UPLOAD)])
def test_nor_do_callers_who_send_a_byte_at_a_time(served: Served, method: str, path: str, body: dict[str, str]) -> None:
    with dribbling(served.port, head(method, path, key=served.keys[Scope.SUBMIT], **body), MANY):
        assert all(served.answers() for _ in range(20))


def test_a_caller_sends_only_so_many_bodies_at_a_time(served: Served) -> None:
    begin = head("PUT", DATASET, key=served.keys[Scope.ADMIN], **UPLOAD)
    with dribbling(served.port, begin, PLACES, keep_up=False):
        time.sleep(0.2)
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as one_more:
            one_more.sendall(begin)
            assert one_more.recv(4096).startswith(b"HTTP/1.1 503")
        other = head("PUT", DATASET, key=served.keys[Scope.SUBMIT], Content_Type="text/plain", Content_Length="1")
        with socket.create_connection(("127.0.0.1", served.port), timeout=30) as another_caller:
            another_caller.sendall(other + b"x")
            assert another_caller.recv(4096).startswith(b"HTTP/1.1 422")


def test_a_body_that_comes_a_byte_at_a_time_is_given_up(served: Served) -> None:
    """Never silent for long, so only a limit on the whole ends it."""
    begin = head("POST", "/v1/tasks", key=served.keys[Scope.SUBMIT], **BODY)
    with dribbling(served.port, begin, 1, keep_up=False) as (connection,):
        assert connection.recv(4096).startswith(b"HTTP/1.1 408")


@pytest.mark.parametrize("framing", [{"Content_Length": "900000"}, {"Transfer_Encoding": "chunked"}])
def test_a_stranger_is_answered_before_the_body_and_let_go(served: Served, framing: dict[str, str]) -> None:
    with dribbling(served.port, head("POST", "/v1/tasks", **framing), 1, every=0.05, keep_up=False) as (connection,):
        began = time.monotonic()
        assert connection.recv(4096).startswith(b"HTTP/1.1 401")
        answer_of(connection)
        assert time.monotonic() - began < 10


def test_a_stranger_who_sends_fast_reads_the_answer(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(head("POST", "/v1/tasks", Content_Length="900000"))
        connection.sendall(b" " * 900_000)
        connection.sendall(head("GET", "/healthz", Connection="close"))
        answers = answer_of(connection)
        assert answers.startswith(b"HTTP/1.1 401")
        assert b"HTTP/1.1 200" in answers, "the body was thrown away to its end, and what follows it was read"


def test_who_does_not_take_an_answer_holds_no_place_and_is_let_go(served: Served) -> None:
    """Pipelined, so that there is more to take than the buffers of a connection hold."""
    wanted = head("GET", "/openapi.json") * 40
    readers = []
    for _ in range(MANY):
        connection = socket.socket()
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", served.port))
        connection.sendall(wanted)
        readers.append(connection)
    try:
        assert all(served.answers() for _ in range(20))
        assert within(20, lambda: not connections_at(served.port))
    finally:
        for connection in readers:
            connection.close()


def test_connections_that_showed_no_key_make_room_and_others_stay(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as known:
        known.sendall(head("GET", "/v1/tasks", key=served.reader))
        assert whole_answer(known).startswith(b"HTTP/1.1 200")
        silent = [socket.create_connection(("127.0.0.1", served.port), timeout=30) for _ in range(3 * MANY)]
        assert within(10, lambda: connections_at(served.port) <= MANY + 1)
        known.sendall(head("GET", "/v1/tasks", key=served.reader))
        assert whole_answer(known).startswith(b"HTTP/1.1 200")
        for connection in silent:
            connection.close()


def whole_answer(connection: socket.socket) -> bytes:
    """Head and body, in however many pieces they come."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65_536)
    told, _, body = answer.partition(b"\r\n\r\n")
    length = next(
        int(line.partition(b":")[2]) for line in told.lower().split(b"\r\n") if line.startswith(b"content-length")
    )
    while len(body) < length:
        piece = connection.recv(65_536)
        answer, body = answer + piece, body + piece
    return answer


def connections_at(port: int) -> int:
    found = psutil.Process().net_connections("tcp")
    return sum(one.laddr.port == port and one.status == "ESTABLISHED" for one in found)


def test_strangers_cost_no_look_up_each(served: Served, sqlite_database: Database) -> None:
    assert served.answers()
    looks: list[str] = []
    sa.event.listen(sqlite_database.engine, "before_cursor_execute", lambda *seen: looks.append(seen[2]))
    for key in ("", "no key at all"):
        for _ in range(30):
            assert ask(served.port, "GET", "/v1/nothing", key=key)[0] in (401, 429)
    assert len(looks) <= 2, "the live keys were read again when they were old"


def test_keys_that_could_be_one_cost_nothing_either_once_their_address_is_slowed_down(
    served: Served, sqlite_database: Database
) -> None:
    wrong = [f"fck_{place:08}_{'b' * 43}" for place in range(60)]
    for key in wrong[:10]:
        ask(served.port, "GET", "/v1/tasks", key=key)
    looks: list[str] = []
    sa.event.listen(sqlite_database.engine, "before_cursor_execute", lambda *seen: looks.append(seen[2]))
    assert {ask(served.port, "GET", "/v1/tasks", key=key)[0] for key in wrong[10:]} == {429}
    assert len(looks) <= 2
    assert served.answers(), "right keys of that address are not slowed down"


@pytest.mark.parametrize("scope", [Scope.READ, Scope.SUBMIT])
def test_a_caller_without_the_scope_is_answered_before_the_body(served: Served, scope: Scope) -> None:
    begin = head("POST", "/v1/tasks/x/measurements", key=served.keys[scope], **BODY | {"Content_Length": "60000000"})
    with socket.create_connection(("127.0.0.1", served.port), timeout=30) as connection:
        connection.sendall(begin)
        assert connection.recv(4096).startswith(b"HTTP/1.1 403")
