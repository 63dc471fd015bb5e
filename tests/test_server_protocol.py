"""A real server on a real socket: what comes before ASGI, and what comes too slowly or too large."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest

from forgetcast.schemas import Scope
from service import server_protocol
from service.app import create_app
from service.operations.keys import revoke_key
from service.queue import NoQueue
from service.server_protocol import LONGEST_HEAD
from service.settings import Settings
from service.storage.database import Database, Session
from service.storage.jobs import insert_job
from service.storage.tables import Matrix, Task, UpstreamSet
from tests.api_keys import create_key
from tests.slow_clients import answer_of, head, serving


@pytest.fixture
def port(sqlite_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The service with a key in its database, and little patience."""
    monkeypatch.setattr(server_protocol, "HEAD_SECONDS", 1.0)
    with sqlite_database.transaction() as session:
        create_key(session, "admin", [Scope.ADMIN])
    settings = Settings(home=tmp_path, body_idle=timedelta(seconds=1), waiting_requests=1)
    with serving(create_app(settings, sqlite_database, NoQueue())) as port:
        yield port


def ask(port: int, *pieces: bytes) -> tuple[int, dict[str, Any]]:
    """Send pieces and read the answer to its end: status and problem."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        try:
            for piece in pieces:
                connection.sendall(piece)
        except ConnectionError:
            pass  # the answer came before the end
        answer = b""
        while chunk := connection.recv(65_536):
            answer += chunk
            head, _, body = answer.partition(b"\r\n\r\n")
            if body.endswith(b"}"):
                break
    assert b"content-type: application/problem+json" in head.lower(), head
    return int(head.split()[1]), json.loads(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1/tasks HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\nBad\x00Header: y\r\n\r\n",
        b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /" + b"x" * (LONGEST_HEAD + 100),
    ],
)
def test_7_what_is_no_request_is_a_problem(port: int, sent: bytes) -> None:
    status, problem = ask(port, sent)
    assert (status, problem["code"], problem["status"]) == (400, "invalid_request", 400)


@pytest.mark.parametrize("sent", [b"", b"GET /healthz HTTP/1.1\r\nHost: x\r\n"])
def test_7_a_head_that_does_not_come_is_given_up(port: int, sent: bytes) -> None:
    assert ask(port, sent)[1]["code"] == "request_timeout"


def test_7_a_body_that_does_not_come_is_given_up(port: int, sqlite_database: Database) -> None:
    with sqlite_database.transaction() as session:
        key = create_key(session, "submitter", [Scope.SUBMIT])
    begun = f"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {key}\r\nContent-Length: 100\r\n\r\n{{"
    status, problem = ask(port, begun.encode())
    assert (status, problem["code"]) == (408, "request_timeout")


def test_7_many_slow_connections_keep_nobody_out(port: int) -> None:
    slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(200)]
    try:
        for connection in slow:
            connection.sendall(b"GET /v1/tasks HTTP/1.1\r\n")
        with socket.create_connection(("127.0.0.1", port), timeout=10) as good:
            good.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert good.recv(1000).startswith(b"HTTP/1.1 200")
    finally:
        for connection in slow:
            connection.close()


def test_6_a_large_body_without_a_key_is_thrown_away_in_little_memory(port: int) -> None:
    def pieces() -> Iterator[bytes]:
        yield b"POST /v1/tasks HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        for _ in range(1024):
            yield chunk

    before = psutil.Process().memory_info().rss
    status, problem = ask(port, *pieces())
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert psutil.Process().memory_info().rss - before < 16 << 20, "64 MiB were sent"


def test_a_stream_ends_when_its_reader_leaves(port: int, sqlite_database: Database) -> None:
    """One may wait at a time here, so the second reader is let in once the first one's place is free."""
    with sqlite_database.transaction() as session:
        key = create_key(session, "reader", [Scope.READ])
        job = waiting_job(session)
    request = following(job, key)

    def follow() -> tuple[socket.socket, bytes]:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sendall(request)
        return connection, connection.recv(65_536)

    first, begun = follow()
    assert begun.startswith(b"HTTP/1.1 200")
    second, refused = follow()
    assert refused.startswith(b"HTTP/1.1 503")
    second.close()
    first.close()
    until = time.monotonic() + 60
    while refused.startswith(b"HTTP/1.1 503") and time.monotonic() < until:
        time.sleep(0.2)
        connection, refused = follow()
        connection.close()
    assert refused.startswith(b"HTTP/1.1 200")


def test_a_stream_ends_when_its_key_does(port: int, sqlite_database: Database) -> None:
    with sqlite_database.transaction() as session:
        key, job = create_key(session, "reader", [Scope.READ]), waiting_job(session)
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(following(job, key))
        assert connection.recv(65_536).startswith(b"HTTP/1.1 200")
        with sqlite_database.transaction() as session:
            revoke_key(session, key.split("_")[1])
        until = time.monotonic() + 60
        while connection.recv(65_536):  # empty once the service ends it
            assert time.monotonic() < until


def following(job: str, key: str) -> bytes:
    return (
        f"GET /v1/jobs/{job}/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\n\r\n"
    ).encode()


def waiting_job(session: Session) -> str:
    session.add(UpstreamSet(id="set", domains={}))
    session.flush()
    session.add(Matrix(id="m", upstream_set_id="set", model="tiny", model_revision="0", recipe={}, setting={}))
    session.flush()
    session.add(Task(id="task", matrix_id="m", measure="probe", seed=1))
    session.flush()
    return insert_job(session, task_id="task", measure="probe", positions=b"\0\0\0\0").id


def test_the_answer_to_head_ends_with_its_head(port: int) -> None:
    """Whatever length it names: the next answer follows at once."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head("HEAD", "/openapi.json") + head("GET", "/healthz", Connection="close"))
        answers = answer_of(connection)
    first, second, body = answers.split(b"\r\n\r\n")
    assert b"content-length: " in first and int(first.partition(b"content-length: ")[2].split()[0]) > 10_000
    assert second.startswith(b"HTTP/1.1 200") and body == b'{"status":"ok"}'
