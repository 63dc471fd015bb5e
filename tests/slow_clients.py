"""A real server on a real socket, and connections to it that are slower or more than they should be."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import uvicorn
from fastapi import FastAPI

from service.server_protocol import LONGEST_HEAD, Protocol


@contextmanager
def serving(app: FastAPI) -> Iterator[int]:
    """The port at which the app is served, by a thread of this process."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app, log_config=None, http=Protocol, ws="none", h11_max_incomplete_event_size=LONGEST_HEAD
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listening.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


def head(method: str, path: str, *, key: str = "", **headers: str) -> bytes:
    """A request up to its body."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"Authorization: Bearer {key}"] if key else []
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode()


def ask(port: int, method: str, path: str, *, key: str = "", **headers: str) -> tuple[int, float]:
    """Status of a request without a body, and the seconds it took."""
    began = time.monotonic()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
        connection.sendall(head(method, path, key=key, Connection="close", **headers))
        status = int(connection.recv(4096).split()[1])
    return status, time.monotonic() - began


@contextmanager
def dribbling(
    port: int, begin: bytes, n_connections: int, *, every: float = 0.2, keep_up: bool = True
) -> Iterator[list[socket.socket]]:
    """So many connections that send `begin`, and then a byte at a time; one that is closed is opened anew."""

    def connect() -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=30)
        connection.sendall(begin)
        return connection

    connections = [connect() for _ in range(n_connections)]
    ended = threading.Event()

    def dribble() -> None:
        while not ended.wait(every):
            for place, connection in enumerate(connections):
                try:
                    connection.send(b"x")
                except OSError:
                    if keep_up and not ended.is_set():
                        connection.close()
                        connections[place] = connect()

    thread = threading.Thread(target=dribble, daemon=True)
    thread.start()
    try:
        yield connections
    finally:
        ended.set()
        thread.join(30)
        for connection in connections:
            connection.close()


def answer_of(connection: socket.socket) -> bytes:
    """Everything until the service closes the connection."""
    received = b""
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionError:
        pass
    return received


def within(seconds: float, holds: Callable[[], bool]) -> bool:
    """Whether this becomes true in time."""
    until = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > until:
            return False
        time.sleep(0.05)
    return True
