"""A worker process: what it claims for, on which GPUs, and how it is told to stop."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path
from types import FrameType

import click

from forgetcast.errors import ConfigurationError, ForgetcastError
from service import metrics
from service.logs import configure_logs
from service.models import Models
from service.operations.reaping import Reaper
from service.queue import JobQueue, open_queue
from service.seclusion import seclude
from service.settings import Settings, read_settings
from service.storage.database import Database
from service.storage.schema import check_schema
from workers.host.child import command_on
from workers.host.fit_loop import FitLimits, Fitting, start_fit_loop
from workers.host.fleet import Member, run_fleet
from workers.host.gpu import Gpu, Gpus
from workers.host.supervisor import Supervisor, Timing

log = logging.getLogger(__name__)

BEATS_A_LEASE = 12
GIVES_FIT_BACK_WITHIN = 5.0  # seconds; else its claim runs out
ANY_GPU, NO_GPU = "any", "none"


def run_worker(
    *,
    once: bool,
    no_jobs: bool,
    hardware: tuple[str, ...],
    gpus: str,
    share_gpu: bool,
    devices: int,
    poll: float,
    metrics_port: int | None,
    metrics_host: str,
    until_eof: bool,
) -> None:
    """Run what `forgetcast worker` asks for until it is stopped; parameters are its options."""
    seclude()
    settings = read_settings()
    configure_logs(settings.log_format)
    database = Database(settings.database, patience=settings.database_timeout)
    try:
        check_schema(database)
        queue = open_queue(settings.redis_url)
        installed = _installed(settings)
        names = () if no_jobs else _names(installed, gpus, devices)
    except ForgetcastError as error:
        raise click.ClickException(str(error)) from error
    stop = stop_on_signal()
    if until_eof:
        threading.Thread(target=_stop_at_eof, args=(stop,), daemon=True).start()
    if gpus != ANY_GPU and len(names) > devices:
        database.close()
        options = _options(once, share_gpu, devices, hardware, poll)
        sys.exit(_run_fleet(settings, names, devices, options, metrics_host, metrics_port, stop, once=once))
    if metrics_port is not None:
        _answer_metrics(metrics_host, metrics_port)
    limits = FitLimits(settings.lease, settings.fit_timeout, settings.fit_memory_bytes)
    fitting = Fitting(database, settings.cache_dir / "fitting", limits)
    fits = None if once else start_fit_loop(fitting, stop)
    gpu: Gpu | None = None
    pause = timedelta(seconds=poll)
    if no_jobs:
        reap_only(Reaper(database, settings.lease), pause, stop)
    else:
        gpu = installed.wait(names, stop, n_devices=devices, shared=share_gpu) if names else None
        if not stop.is_set():
            supervisor = open_supervisor(
                settings, database, queue, hardware=hardware, poll=pause, gpu=gpu, devices=devices
            )
            supervisor.run(stop, once=once)
    # Where a worker is started per job its GPU goes back when it ends, and fits need none: others do them.
    while once and gpu is None and not stop.is_set() and fitting.turn(stop):
        pass
    if fits is not None:
        fits.join(GIVES_FIT_BACK_WITHIN)


def open_supervisor(
    settings: Settings,
    database: Database,
    queue: JobQueue,
    *,
    hardware: tuple[str, ...],
    poll: timedelta,
    gpu: Gpu | None,
    devices: int = 1,
) -> Supervisor:
    """A supervisor on this deployment's database, queue and models; `devices`: for each job."""

    def model_folder(model: str, revision: str) -> Path:
        return Models.read(settings.models_file).folder(model, revision, fetch)

    def fetch(repo: str, commit: str) -> Path:
        from workers.host.hub import fetch as fetch_from_hub  # takes a second, and most models are folders

        return fetch_from_hub(repo, commit, settings.cache_dir / "models")

    return Supervisor(
        database,
        queue,
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
            keep_weights=settings.keep_weights,
            sweep=settings.lease,
        ),
        command=command_on(devices),
        gpu=gpu,
        max_steps=settings.max_steps,
    )


def _installed(settings: Settings) -> Gpus:
    if settings.simulated_gpus:
        return Gpus.simulated(settings.simulated_gpus, settings.cache_dir / "gpus")
    return Gpus.visible()


def _names(installed: Gpus, wanted: str, devices: int) -> tuple[str, ...]:
    """The GPUs that were asked for; none for the CPU. Raises ConfigurationError where jobs cannot have so many each."""
    if wanted == NO_GPU:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # for the child, which would use the first that it sees
        return ()
    names = installed.names if wanted == ANY_GPU else installed.chosen(wanted)
    if names and len(names) < devices:
        raise ConfigurationError(f"--devices {devices} needs as many GPUs, and there are {len(names)}")
    if wanted != ANY_GPU and len(names) % devices:
        raise ConfigurationError(f"--devices {devices} does not divide the {len(names)} GPUs that --gpus names")
    return names


def _options(once: bool, share_gpu: bool, devices: int, hardware: tuple[str, ...], poll: float) -> list[str]:
    named = [word for name in hardware for word in ("--hardware", name)]
    return ["--poll", str(poll), "--devices", str(devices), *named, *["--once"] * once, *["--share-gpu"] * share_gpu]


def _run_fleet(
    settings: Settings,
    names: tuple[str, ...],
    devices: int,
    options: list[str],
    metrics_host: str,
    metrics_port: int | None,
    stop: threading.Event,
    *,
    once: bool,
) -> int:
    members = []
    for number, first in enumerate(range(0, len(names), devices)):
        name = ",".join(names[first : first + devices])
        port = [] if metrics_port is None else ["--metrics-port", str(metrics_port + number)]
        members.append(Member(name, [*options, "--metrics-host", metrics_host, *port]))
    timing = Timing()
    patience = settings.drain_grace + 2 * timing.stop_grace
    return run_fleet(members, stop, once=once, patience=patience)


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
