"""The command line's server commands: up, serve, migrate, key."""

from __future__ import annotations

import ipaddress
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import click

from forgetcast.errors import ConfigurationError, ForgetcastError
from forgetcast.schemas import ApiKeyCreated, Scope
from service.app import create_app
from service.logs import configure_logs
from service.operations import audit, keys
from service.queue import open_queue
from service.server import serve_app
from service.settings import Settings
from service.storage import schema
from service.storage.database import Database, Session

WORKER_ENDS_WITHIN = 30  # seconds; it gives its job back

host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
port_option = click.option("--port", default=8737, show_default=True, help="Port to bind.")


@click.command()
@host_option
@port_option
def up(host: str, port: int) -> None:
    """Everything in one: database, API and one worker, nothing to configure.

    Example: forgetcast up
    """
    settings = Settings()
    with _one_line_errors():
        database = Database(settings.database, patience=settings.database_timeout)
        schema.migrate(database)
        _check_address(database, host, port)
        with _worker():
            _serve(settings, database, host, port)


@click.command()
@host_option
@port_option
def serve(host: str, port: int) -> None:
    """The API alone; workers are started apart.

    Example: forgetcast serve --host 0.0.0.0 --port 8000
    """
    settings = Settings()
    with _one_line_errors():
        database = Database(settings.database, patience=settings.database_timeout)
        schema.check_schema(database)
        _check_address(database, host, port)
        _serve(settings, database, host, port)


@click.command()
def migrate() -> None:
    """Bring the database to the schema of this version; safe to run twice, or twice at once.

    Example: forgetcast migrate
    """
    with _one_line_errors():
        click.echo(f"the database has schema {schema.migrate(Database(Settings().database, patience=None))}")


@click.group()
def key() -> None:
    """API keys, written straight to the database."""


@key.command("create")
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do; may be given several times.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="How long it works; for ever when not given.")
def create(name: str, scopes: tuple[str, ...], days: int | None) -> None:
    """Make a key and show it once.

    Example: forgetcast key create --name ci --scope read --scope submit --days 90
    """
    expires_in = None if days is None else timedelta(days=days)
    with _transaction() as session:
        created = keys.new_key(session, name, [Scope(scope) for scope in scopes], expires_in)
        audit.record(session, keys.COMMAND_LINE, "key.create", created.id, name=name, scopes=list(scopes))
    _show(created)


@key.command("ls")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def ls(as_json: bool) -> None:
    """List keys, without their secrets.

    Example: forgetcast key ls
    """
    with _transaction() as session:
        found = keys.list_keys(session, "", 100_000)
    for one in found:
        if as_json:
            click.echo(one.model_dump_json())
            continue
        end = f"revoked {one.revoked_at:%Y-%m-%d}" if one.revoked_at else ""
        end = end or (f"until {one.expires_at:%Y-%m-%d %H:%M} UTC" if one.expires_at else "")
        click.echo(f"{one.id}  {','.join(one.scopes):<24}  {one.created_at:%Y-%m-%d}  {one.name}  {end}".rstrip())


@key.command("revoke")
@click.argument("key_id")
def revoke(key_id: str) -> None:
    """End a key; running services notice within 5 seconds.

    Example: forgetcast key revoke 4f7x2k9q
    """
    with _transaction() as session:
        keys.revoke_key(session, key_id)
        audit.record(session, keys.COMMAND_LINE, "key.revoke", key_id)
    click.echo(f"{key_id} is revoked", err=True)


@key.command("rotate")
@click.argument("key_id")
@click.option("--overlap", default=24, show_default=True, type=click.IntRange(0, 8760), help="Hours both keys work.")
def rotate(key_id: str, overlap: int) -> None:
    """Make a key's successor, of the same name and scopes, and show it once.

    Example: forgetcast key rotate 4f7x2k9q --overlap 48
    """
    with _transaction() as session:
        created = keys.rotate_key(session, key_id, timedelta(hours=overlap))
        audit.record(session, keys.COMMAND_LINE, "key.rotate", key_id, successor=created.id, overlap=overlap * 3600)
    _show(created)


def _show(created: ApiKeyCreated) -> None:
    click.echo(created.key)
    click.echo("Keep it: it is not shown again. Clients read it from FORGETCAST_API_KEY.", err=True)


@contextmanager
def _transaction() -> Iterator[Session]:
    with _one_line_errors():
        database = Database(Settings().database)
        schema.check_schema(database)
        with database.transaction() as session:
            yield session


def _serve(settings: Settings, database: Database, host: str, port: int) -> None:
    configure_logs(settings.log_format)
    app = create_app(settings, database, open_queue(settings.redis_url))
    click.echo(f"Forgetcast at http://{host}:{port}, documentation at http://{host}:{port}/docs", err=True)
    serve_app(app, host, port, app.state.parts.draining, settings.drain_delay)


@contextmanager
def _worker() -> Iterator[None]:
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
            worker.wait(WORKER_ENDS_WITHIN)
        except subprocess.TimeoutExpired:
            worker.kill()


def _check_address(database: Database, host: str, port: int) -> None:
    """Beyond loopback only with API keys; and a port that is taken is said before anything starts."""
    with database.read() as session:
        guarded = keys.has_keys(session)
    if not guarded and not _is_loopback(host):
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


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


@contextmanager
def _one_line_errors() -> Iterator[None]:
    try:
        yield
    except ForgetcastError as error:
        raise click.ClickException(str(error)) from error
