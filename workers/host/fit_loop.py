"""Fits beside jobs, each in a process of its own: one that hangs, crashes or takes too much memory ends nothing else.

claim -> folder -> child -> kept          -> the next
                         -> failure       -> noted: the matrix waits, the next one is taken
                         -> worker stops  -> given back
                         -> lost          -> thrown away: somebody else is at it
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from forgetcast.errors import ForgetcastError
from service import metrics
from service.operations.fit_work import claim_fit, gather, keep
from service.storage import fit_work
from service.storage.database import Database
from service.storage.fit_work import FitOrder, Kind
from workers.host.child import Child
from workers.host.outcome import Failure, Interrupted, failure_left, failure_of

log = logging.getLogger(__name__)

COMMAND = (sys.executable, "-m", "workers.host.fitting")
LOOK_AGAIN_AFTER = 1.0  # seconds, when nothing was due
LOOK_AT_CHILD = 0.2  # seconds
RENEWALS_A_LEASE = 4
MEMORY_SHARE = 0.75  # of the host's or the container's, for a fit unless the operator says how much
CGROUP_LIMITS = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
THREADS = "OPENBLAS_NUM_THREADS"  # passed on: a worker beside the API lets its fits use one


@dataclass(frozen=True)
class FitLimits:
    """How long a fit's claim lasts without renewal, how long a fit may take, and how much memory."""

    lease: timedelta = timedelta(seconds=60)
    time: timedelta = timedelta(hours=1)
    memory: int = 0  # bytes; 0: three quarters of what there is


class Fitting:
    """Does the fits and back-tests that are due, one at a time."""

    def __init__(
        self, database: Database, folder: Path, limits: FitLimits | None = None, command: Sequence[str] = COMMAND
    ) -> None:
        """`folder`: below which each fit has a folder of its own while it is made."""
        self._database, self._folder = database, folder
        self._limits = limits or FitLimits()
        self._command = (*command, str(self._limits.memory or int(MEMORY_SHARE * available_memory())))
        self._owner = f"{socket.gethostname()[:64]}:{os.getpid()}"

    def turn(self, stop: threading.Event) -> bool:
        """Do one piece of work, until it is done or `stop` is set; False when none is due."""
        try:
            order = claim_fit(self._database, self._owner, self._limits.lease)
        except ForgetcastError as error:
            log.warning("cannot look for matrices to fit: %s", error)
            return False
        if order is None:
            return False
        about = {"matrix_id": order.matrix_id, "matrix_version": order.matrix_version}
        try:
            ended = self._work(order, stop)
        except ForgetcastError as error:
            ended = Interrupted.STOPPED if error.retryable else failure_of(error)
            log.warning("the %s was given up: %s", order.kind, error, extra=about)
        except Exception as error:  # no matrix must end the fits of the others
            ended = failure_of(error)
            log.exception("the %s failed", order.kind, extra=about)
        self._settle(order, ended)
        return ended is not Interrupted.STOPPED

    def _work(self, order: FitOrder, stop: threading.Event) -> Failure | Interrupted | None:
        """Gather, run the child, keep; None when it is kept."""
        with self._folder_for(order) as folder, self._renewing(order) as lost:
            gather(self._database, order, folder)
            seconds = metrics.FIT_SECONDS if order.kind is Kind.FIT else metrics.BACKTEST_SECONDS
            with seconds.time(), Child(folder, self._command, also=_threads()) as child:
                ended = self._follow(child, lost, stop)
            if ended is not None:
                return ended
            if child.returncode != 0:
                return failure_left(child, folder)
            return None if keep(self._database, order, folder) else Interrupted.LOST

    @contextmanager
    def _folder_for(self, order: FitOrder) -> Iterator[Path]:
        """A folder that goes away with the work; those of workers that were killed go when they cannot be in use."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for old in self._folder.iterdir():
            with suppress(OSError):
                if time.time() - old.stat().st_mtime > 2 * self._limits.time.total_seconds():
                    shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(prefix=f"{order.kind}-", dir=self._folder) as name:
            yield Path(name)

    def _follow(self, child: Child, lost: threading.Event, stop: threading.Event) -> Failure | Interrupted | None:
        """Until the child ends, which is None, or has to be ended."""
        ends_at = time.monotonic() + self._limits.time.total_seconds()
        while child.running:
            child.events(LOOK_AT_CHILD)
            if stop.is_set():
                return Interrupted.STOPPED
            if lost.is_set():
                return Interrupted.LOST
            if time.monotonic() >= ends_at:
                return Failure("fit_timeout", f"it took longer than {self._limits.time}")
        return None

    @contextmanager
    def _renewing(self, order: FitOrder) -> Iterator[threading.Event]:
        """Renew the claim from a thread until the work ends; the event is set when it is lost.

        While the database is away the work goes on: whether it was lost is seen when it is to be kept.
        """
        lost, ended = threading.Event(), threading.Event()

        def renew() -> None:
            while not ended.wait(self._limits.lease.total_seconds() / RENEWALS_A_LEASE):
                try:
                    with self._database.transaction() as session:
                        held = fit_work.renew(session, order, self._limits.lease)
                except Exception as error:
                    log.warning("cannot renew the claim on a fit, trying on: %s", error)
                    continue
                if not held:
                    lost.set()
                    return

        thread = threading.Thread(target=renew, name=f"claim on {order.matrix_id}", daemon=True)
        thread.start()
        try:
            yield lost
        finally:
            ended.set()
            thread.join()

    def _settle(self, order: FitOrder, ended: Failure | Interrupted | None) -> None:
        """Write how it ended; if that cannot be written, the claim runs out."""
        if ended is None or ended is Interrupted.LOST:
            return
        try:
            with self._database.transaction() as session:
                if isinstance(ended, Failure):
                    fit_work.fail(session, order, ended.code, ended.detail)
                else:
                    fit_work.give_back(session, order)
        except ForgetcastError as error:
            log.warning("cannot write how a fit ended: %s", error)
        if isinstance(ended, Failure):
            metrics.count_fit_failure(order.kind, ended.code)
            about = {"matrix_id": order.matrix_id, "matrix_version": order.matrix_version, "code": ended.code}
            log.error("the %s failed; it is tried again later", order.kind, extra=about)


def start_fit_loop(fitting: Fitting, stop: threading.Event) -> threading.Thread:
    """Fit whatever is due until `stop` is set. The thread is a daemon: a fit that is cut off has written nothing."""
    thread = threading.Thread(target=_loop, args=(fitting, stop), name="fits", daemon=True)
    thread.start()
    return thread


def _loop(fitting: Fitting, stop: threading.Event) -> None:
    while not stop.is_set():
        try:
            worked = fitting.turn(stop)
        except Exception:  # nothing must end the fits for good
            log.exception("cannot fit")
            worked = False
        if not worked:
            stop.wait(LOOK_AGAIN_AFTER)


def available_memory() -> int:
    """Bytes of this host, or of this container where that has less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for path in CGROUP_LIMITS:
        try:
            found.append(int(Path(path).read_text()))
        except (OSError, ValueError):  # there is none, or it says "max"
            continue
    return min(found)


def _threads() -> dict[str, str]:
    return {THREADS: os.environ[THREADS]} if THREADS in os.environ else {}
