"""The command line's `worker`."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import FrameType

import click

from forgetcast.errors import ForgetcastError
from service import metrics
from service.logs import configure_logs
from service.models import Models
from service.operations.fits import fit_due_matrices
from service.queue import open_queue
from service.settings import Settings, read_settings
from service.storage.database import Database
from service.storage.jobs import ANY_HARDWARE
from service.storage.schema import check_schema
from workers.fit_loop import start_fit_loop
from workers.gpu import take_gpu
from workers.leases import Reaper
from workers.supervisor import Supervisor, Timing

log = logging.getLogger(__name__)

BEATS_A_LEASE = 12
Run = Callable[[threading.Event], None]


@click.command()
@click.option("--once", is_flag=True, help="Run one job, if one is waiting, and end.")
@click.option(
    "--hardware",
    multiple=True,
    default=(ANY_HARDWARE,),
    show_default=True,
    metavar="NAME",
    help=f"Hardware class of this machine; may be given several times. Jobs for `{ANY_HARDWARE}` are taken always.",
)
@click.option(
    "--poll",
    default=5.0,
    show_default=True,
    type=click.FloatRange(0.1, 30),
    help="Seconds between two looks for work; at most one without Redis.",
)
@click.option(
    "--no-jobs",
    is_flag=True,
    help="Run no job; fit matrices and put back the jobs of dead workers. For where workers are started per job.",
)
@click.option("--metrics-port", type=click.IntRange(1, 65535), help="Answer /metrics here; off by default.")
@click.option("--metrics-host", default="127.0.0.1", show_default=True, help="Address for --metrics-port.")
@click.option("--until-eof", is_flag=True, hidden=True, help="Stop at end of file on stdin: end with the parent.")
def worker(
    once: bool,
    no_jobs: bool,
    hardware: tuple[str, ...],
    poll: float,
    metrics_port: int | None,
    metrics_host: str,
    until_eof: bool,
) -> None:
    """Run a worker: it claims jobs, fine-tunes and measures. SIGTERM or Ctrl-C gives its job back and ends it.

    Example: forgetcast worker --hardware a100
    """
    if once and no_jobs:
        raise click.UsageError("--once runs one job and --no-jobs runs none; leave one of them out")
    settings = read_settings()
    configure_logs(settings.log_format)
    database = Database(settings.database, patience=settings.database_timeout)
    try:
        check_schema(database)
        run: Run = (
            partial(reap_only, Reaper(database, settings.lease), timedelta(seconds=poll))
            if no_jobs
            else partial(
                open_supervisor(settings, database, hardware=hardware, poll=timedelta(seconds=poll)).run, once=once
            )
        )
    except ForgetcastError as error:
        raise click.ClickException(str(error)) from error
    if metrics_port is not None:
        _answer_metrics(metrics_host, metrics_port)
    stop = stop_on_signal()
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(stop,), daemon=True).start()
    fit_due = partial(fit_due_matrices, database)
    if not once:
        start_fit_loop(fit_due, stop)
    run(stop)
    while once and not stop.is_set() and fit_due():
        pass


def open_supervisor(
    settings: Settings, database: Database, *, hardware: tuple[str, ...], poll: timedelta
) -> Supervisor:
    """A supervisor on this deployment's database, queue and models. Raises ConfigurationError."""

    def model_folder(model: str, revision: str) -> Path:
        return Models.read(settings.models_file).folder(model, revision)

    return Supervisor(
        database,
        open_queue(settings.redis_url),
        jobs_folder=settings.cache_dir / "jobs",
        model_folder=model_folder,
        hardware=hardware,
        timing=Timing(
            lease=settings.lease,
            beat=settings.lease / BEATS_A_LEASE,
            poll=poll,
            drain_grace=settings.drain_grace,
            stall=settings.stall,
            max_outage=settings.max_outage,
            checkpoint=settings.checkpoint,
        ),
        gpu=take_gpu(),
    )


def reap_only(reaper: Reaper, poll: timedelta, stop: threading.Event) -> None:
    """What a worker does besides jobs."""
    log.info("worker runs no jobs")
    while not stop.wait(poll.total_seconds()):
        reaper.turn()


def _answer_metrics(host: str, port: int) -> None:
    try:
        metrics.serve_metrics(host, port)
    except OSError as error:
        raise click.ClickException(
            f"cannot bind {host}:{port}: {error.strerror}; name another --metrics-port"
        ) from error


def _stop_at_eof(stop: threading.Event) -> None:
    # Not through sys.stdin: its lock would be held when the interpreter shuts down, which is a fatal error.
    while os.read(0, 4096):
        pass
    stop.set()


def stop_on_signal() -> threading.Event:
    """An event that SIGTERM and SIGINT set; a second Ctrl-C ends the process at once."""
    stop = threading.Event()

    def ask(number: int, _frame: FrameType | None) -> None:
        if stop.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        stop.set()

    signal.signal(signal.SIGTERM, ask)
    signal.signal(signal.SIGINT, ask)
    return stop
