"""The command line's server commands: up, serve, migrate. What they run is imported when they are called."""

from __future__ import annotations

import os

import click

from forgetcast.cli.lazy_group import imported

host_option = click.option("--host", default="127.0.0.1", show_default=True, help="Address to bind.")
port_option = click.option(
    "--port", default=8737, show_default=True, type=click.IntRange(0, 65535), help="Port to bind."
)


@click.command(epilog="Example: forgetcast up")
@host_option
@port_option
def up(host: str, port: int) -> None:
    """Everything in one: database, API and one worker, nothing to configure."""
    _compute_on_one_thread()
    imported("up", "service.running:run_everything")(host, port)


@click.command(epilog="Example: forgetcast serve --host 0.0.0.0 --port 8000")
@host_option
@port_option
def serve(host: str, port: int) -> None:
    """The API alone; workers are started apart."""
    _compute_on_one_thread()
    imported("serve", "service.running:run_api")(host, port)


@click.command(epilog="Example: forgetcast migrate")
def migrate() -> None:
    """Bring the database to the schema of this version; safe to run twice, or twice at once."""
    click.echo(f"the database has schema {imported('migrate', 'service.running:migrate_database')()}")


def _compute_on_one_thread() -> None:
    """Set before numpy is imported, which reads it then.

    Several requests compute at a time, and threads of OpenBLAS that spin for each other made a forecast at N = 141,816
    cost 136 ms of processor time on a busy machine of two cores; with one it costs 21.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
