"""A Postgres and a Redis of the tests' own, on free ports, with their files in a folder of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import psycopg
import redis

ANSWERS_WITHIN = 60.0


class ServerMissing(Exception):
    """A server's program is not installed here."""


class Server:
    """A process that listens on one port for all its life, however often it is started."""

    def __init__(self, name: str, folder: Path, host: str) -> None:
        self.host, self.port = host, free_port(host)
        self._log = folder / f"{name}.log"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start the server and wait until it answers."""
        until = time.monotonic() + ANSWERS_WITHIN
        while not self._answers():
            if self._process is None or self._process.poll() is not None:
                with self._log.open("ab") as log:
                    self._process = subprocess.Popen(self._command(), stdin=subprocess.DEVNULL, stdout=log, stderr=log)
            assert time.monotonic() < until, f"{self._log}:\n{self._log.read_text()[-2000:]}"
            time.sleep(0.05)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the server by a signal and wait for its end."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)
            self._process.wait(ANSWERS_WITHIN)

    def _command(self) -> Sequence[str]:
        raise NotImplementedError

    def _answers(self) -> bool:
        raise NotImplementedError


class Postgres(Server):
    """`kill(SIGQUIT)` is Postgres's immediate stop; after SIGKILL the next start waits until its backends are gone."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        super().__init__("postgres", folder, host)
        self._programs = _postgres_programs()
        self._data = folder / "postgres"
        self._data.mkdir()
        self._as_user: list[str] = []
        if os.geteuid() == 0:  # Postgres refuses to run as root
            user = _ordinary_user()
            os.chown(self._data, user.pw_uid, user.pw_gid)
            self._as_user = ["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups"]
        initdb = [str(self._programs / "initdb"), "-D", str(self._data), "-U", "test", "-A", "trust", "-E", "UTF8"]
        subprocess.run([*self._as_user, *initdb, "--no-sync"], check=True, capture_output=True)
        with (self._data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all samenet trust\n")

    def program(self, name: str) -> str:
        """One of Postgres's own tools, such as pg_dump."""
        return str(self._programs / name)

    def execute(self, statement: str, database: str = "postgres") -> None:
        with psycopg.connect(self.dsn(database), autocommit=True) as connection:
            connection.execute(statement.encode())

    def dsn(self, database: str, port: int | None = None) -> str:
        return f"postgresql://test@{self.host}:{port or self.port}/{database}"

    def url(self, database: str, port: int | None = None) -> str:
        """As SQLAlchemy wants it; with a proxy's port, by way of the proxy."""
        return self.dsn(database, port).replace("postgresql:", "postgresql+psycopg:")

    def _command(self) -> Sequence[str]:
        # fsync=off: these servers are killed, their machine is not, so what was written stays written.
        given = ["-c", f"listen_addresses={self.host}", "-c", "fsync=off", "-c", "max_connections=200"]
        postgres = [str(self._programs / "postgres"), "-D", str(self._data), "-p", str(self.port)]
        return [*self._as_user, *postgres, "-k", str(self._data), *given]

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.dsn("postgres"), connect_timeout=3).close()
        except psycopg.OperationalError:
            return False
        return True


class Redis(Server):
    """With an append-only file, as in production; `wipe` forgets it."""

    def __init__(self, folder: Path, host: str = "127.0.0.1") -> None:
        super().__init__("redis", folder, host)
        if shutil.which("redis-server") is None:
            raise ServerMissing("there is no redis-server to start (apt install redis-server)")
        self._data = folder / "redis"
        self._data.mkdir()

    def url(self, port: int | None = None) -> str:
        return f"redis://{self.host}:{port or self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url(), socket_timeout=3, decode_responses=True)

    def wipe(self) -> None:
        """Remove everything it has kept; to be called while it is down."""
        shutil.rmtree(self._data)
        self._data.mkdir()

    def _command(self) -> Sequence[str]:
        where = ["--bind", self.host, "--port", str(self.port), "--dir", str(self._data), "--protected-mode", "no"]
        return ["redis-server", *where, "--save", "", "--appendonly", "yes", "--appendfsync", "everysec"]

    def _answers(self) -> bool:
        client = self.client()
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()


def stop_all(*servers: Server) -> None:
    for server in servers:
        with suppress(subprocess.TimeoutExpired):
            server.kill(signal.SIGQUIT if isinstance(server, Postgres) else signal.SIGTERM)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _postgres_programs() -> Path:
    found = shutil.which("initdb")
    if found is not None:
        return Path(found).resolve().parent
    installed = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not installed:
        raise ServerMissing("there is no Postgres to start (apt install postgresql)")
    return installed[-1].parent


def _ordinary_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")
