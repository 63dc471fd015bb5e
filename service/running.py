"""What `forgetcast up`, `serve` and `migrate` do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta

import click

from forgetcast.errors import ConfigurationError
from service.api.embedded import is_loopback
from service.app import create_app
from service.logs import configure_logs
from service.operations import keys
from service.queue import open_queue
from service.seclusion import seclude
from service.server import serve_app
from service.settings import Settings, read_settings
from service.start_token import kept_in, new_token
from service.storage import schema
from service.storage.database import Database

GIVES_BACK_WITHIN = timedelta(seconds=15)  # a worker whose child has saved what it has


def run_everything(host: str, port: int) -> None:
    """Database, API and one worker, until a signal. Raises ConfigurationError."""
    seclude()
    settings = read_settings()
    database = Database(settings.database, patience=settings.database_timeout)
    schema.migrate(database)
    _check_address(database, host, port)
    serve = _ready(settings, database, host, port)  # before the worker: a setting that cannot be used is said once
    with _worker(settings.drain_grace):
        serve()


def run_api(host: str, port: int) -> None:
    """The API, until a signal. Raises ConfigurationError, SchemaMismatch."""
    seclude()
    settings = read_settings()
    database = Database(settings.database, patience=settings.database_timeout)
    schema.check_schema(database)
    _check_address(database, host, port)
    _ready(settings, database, host, port)()


def migrate_database() -> str:
    """The schema that the database has now."""
    return schema.migrate(Database(read_settings().database, patience=None))


def _ready(settings: Settings, database: Database, host: str, port: int) -> Callable[[], None]:
    """What serves until a signal. Raises ConfigurationError."""
    configure_logs(settings.log_format)
    token = None if _has_keys(database) else new_token()
    app = create_app(settings, database, open_queue(settings.redis_url), token)

    def serve() -> None:
        click.echo(f"Forgetcast at http://{host}:{port}, documentation at http://{host}:{port}/docs", err=True)
        with nullcontext() if token is None else kept_in(settings.home, port, token):
            serve_app(app, host, port, app.state.parts.draining, settings.drain_delay)

    return serve


@contextmanager
def _worker(drain_grace: timedelta) -> Iterator[None]:
    """One worker process beside the API; ended with it, and by end of file on its stdin when this process is killed."""
    command = [sys.executable, "-m", "forgetcast.cli", "worker", "--until-eof"]
    # Its fits run beside a child that uses every core; threads of theirs would only wait for each other.
    environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ}
    worker = subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)
    try:
        yield
    finally:
        if worker.poll() is None:
            worker.send_signal(signal.SIGTERM)
        try:
            worker.wait((drain_grace + GIVES_BACK_WITHIN).total_seconds())
        except subprocess.TimeoutExpired:
            worker.kill()


def _check_address(database: Database, host: str, port: int) -> None:
    """Beyond loopback only with API keys; and a port that is taken is said before anything starts."""
    if not is_loopback(host) and not _has_keys(database):
        raise ConfigurationError(
            f"{host} is reachable from other machines and there are no API keys; make one first: "
            f"forgetcast key create --name admin --scope admin"
        )
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(f"cannot bind {host}:{port}: {error.strerror}; choose another --port") from error


def _has_keys(database: Database) -> bool:
    with database.read() as session:
        return keys.has_keys(session)
