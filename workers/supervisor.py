"""The worker's loop: reap, claim, start a child, renew the lease, finish or release. Knows no torch.

claim -> job directory -> child -> result   -> finish, with the measurement, in one transaction
                                -> error    -> release: queued again or failed
                                -> cancel   -> stop the child, release
                                -> drain    -> stop the child, give the job back: the attempt does not count
                                -> lost     -> kill the child, throw away what it made
"""

from __future__ import annotations

import json
import logging
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum
from pathlib import Path

from forgetcast.errors import DatabaseUnavailable, ForgetcastError
from forgetcast.schemas import JobState
from service.logs import bound
from service.operations.job_errors import is_final
from service.operations.job_material import read_job_material, record_measurement
from service.queue import JobQueue
from service.storage import jobs
from service.storage.attempts import ChildEnd
from service.storage.database import Database
from service.storage.ids import new_id
from service.storage.jobs import Beat, Claimed
from workers.child import COMMAND, LOG, Child
from workers.gpu import Gpu
from workers.job_directory import JobOrder, JobResult, read_result
from workers.leases import Heartbeat, Reaper
from workers.prepare import job_folder, sweep_folders, write_job
from workers.presence import Presence

log = logging.getLogger(__name__)

LOOK_AT_CHILD = 0.2  # seconds between looks at cancel, deadline and the stop signal
LONGEST_BACKOFF = timedelta(minutes=5)


@dataclass(frozen=True)
class Timing:
    """How long everything takes; tests use short ones."""

    lease: timedelta = timedelta(seconds=60)
    beat: timedelta = timedelta(seconds=5)
    tick: timedelta = timedelta(seconds=1)  # between two writes of progress
    poll: timedelta = timedelta(seconds=5)
    stop_grace: timedelta = timedelta(seconds=10)  # from SIGTERM to SIGKILL
    backoff: timedelta = timedelta(seconds=5)  # after the first failure; doubled after each


@dataclass(frozen=True)
class Failure:
    """An attempt that ended without a result."""

    code: str
    detail: str


class Interrupted(Enum):
    """An attempt that was ended from outside, and is nobody's failure."""

    LOST = "lost"
    STOPPED = "stopped"


Outcome = JobResult | Failure | Interrupted


@dataclass(frozen=True)
class Ended:
    """How an attempt ended, and how its child did, where one was started."""

    outcome: Outcome
    child: ChildEnd = field(default_factory=ChildEnd)


class Supervisor:
    """Runs one job at a time until it is told to stop. Any number of them may work on one database."""

    def __init__(
        self,
        database: Database,
        queue: JobQueue,
        *,
        jobs_folder: Path,
        model_folder: Callable[[str, str], Path],
        hardware: Sequence[str] = (jobs.ANY_HARDWARE,),
        timing: Timing | None = None,
        command: Sequence[str] = COMMAND,
        gpu: Gpu | None = None,
    ) -> None:
        """`model_folder`: a model's id and revision -> its files."""
        self._database, self._queue = database, queue
        self._jobs_folder, self._model_folder = jobs_folder, model_folder
        self._hardware = list(dict.fromkeys([*hardware, jobs.ANY_HARDWARE]))
        self._timing = timing or Timing()
        self._command, self._gpu = command, gpu
        self._owner = f"{socket.gethostname()[:64]}:{os.getpid()}:{new_id('worker')[-8:]}"
        self._reaper = Reaper(database, self._timing.lease)
        self._presence = Presence(
            database,
            self._owner,
            hardware=self._hardware,
            gpu=gpu.name if gpu is not None else None,
            every=self._timing.beat,
            lease=self._timing.lease,
        )

    def run(self, stop: threading.Event, *, once: bool = False) -> None:
        """Work until `stop` is set, or with `once` for one turn. Call it from the main thread: a child dies with it."""
        log.info("worker is ready", extra={"worker": self._owner, "hardware": self._hardware})
        sweep_folders(self._jobs_folder)
        try:
            while not stop.is_set():
                worked = self._turn(stop)
                if once:
                    return
                if not worked and not stop.is_set():
                    self._queue.receive(self._hardware, self._timing.poll)
        finally:
            self._presence.leave()

    def _between(self) -> None:
        """What is due besides the job at hand, if any."""
        self._reaper.turn()
        self._presence.turn()

    def _turn(self, stop: threading.Event) -> bool:
        """One job, if one is waiting; whether there was."""
        self._between()
        claimed = self._claim()
        if claimed is not None:
            self._work(claimed, stop)
        return claimed is not None

    def _claim(self) -> Claimed | None:
        try:
            with self._database.transaction() as session:
                gpu = None if self._gpu is None else self._gpu.name
                return jobs.claim(session, self._owner, self._hardware, self._timing.lease, gpu=gpu)
        except DatabaseUnavailable as error:
            log.warning("cannot claim: %s", error)
            return None

    def _work(self, claimed: Claimed, stop: threading.Event) -> None:
        with bound(job_id=claimed.job_id, task_id=claimed.task_id, attempt=claimed.attempt):
            self._presence.work_on(claimed.job_id)
            self._work_on(claimed, stop)
            self._presence.work_on(None)

    def _work_on(self, claimed: Claimed, stop: threading.Event) -> None:
        timing = self._timing
        with Heartbeat(
            self._database,
            claimed,
            lease=timing.lease,
            every=timing.beat,
            tick=min(timing.tick, timing.beat),
            between=self._between,
        ) as heartbeat:
            ended = self._attempt(claimed, heartbeat, stop)
        self._settle(claimed, ended, stop)

    def _attempt(self, claimed: Claimed, heartbeat: Heartbeat, stop: threading.Event) -> Ended:
        """Prepare and run a child; whatever goes wrong is an outcome, for the worker goes on."""
        ends_at = None if claimed.seconds_left is None else time.monotonic() + claimed.seconds_left
        try:
            with job_folder(self._jobs_folder, f"{claimed.job_id}-{claimed.fence}") as folder:
                n_upstream = self._prepare(folder, claimed)
                with self._start(folder) as child:
                    interruption = self._follow(child, heartbeat, ends_at, stop)
                    if interruption is not None:
                        lost = interruption is Interrupted.LOST
                        child.stop(timedelta(0) if lost else self._timing.stop_grace)
                        return Ended(interruption, child.end)
                    return Ended(_outcome(child, folder, n_upstream), child.end)
        except ForgetcastError as error:
            return Ended(Failure(error.code, str(error)))
        except OSError as error:
            return Ended(Failure("io", f"{type(error).__name__}: {error.strerror or error}"))
        except Exception as error:
            log.exception("job %s", claimed.job_id)
            return Ended(Failure("internal", f"the worker failed with {type(error).__name__}; its log says more"))

    def _prepare(self, folder: Path, claimed: Claimed) -> int:
        """Fill the job directory; how many upstream examples it asks for."""
        with self._database.read() as session:
            material = read_job_material(session, claimed.job_id)
        order = JobOrder(
            job_id=claimed.job_id,
            attempt=claimed.attempt,
            model_folder=str(self._model_folder(material.model, material.model_revision)),
            recipe=material.recipe,
            setting=material.setting,
            seed=material.seed,
            split=2 ** claimed.past.count("gpu_oom"),
        )
        write_job(folder, material, order)
        return len(material.upstream)

    def _start(self, folder: Path) -> Child:
        if self._gpu is None:
            return Child(folder, self._command)
        return Child(folder, self._command, also=self._gpu.environment, held=(self._gpu.lock,))

    def _follow(
        self, child: Child, heartbeat: Heartbeat, ends_at: float | None, stop: threading.Event
    ) -> Failure | Interrupted | None:
        """Pass on what the child says until it ends, which is None, or has to be stopped."""
        while child.running:
            for event in child.events(LOOK_AT_CHILD):
                heartbeat.tell(event)
            if heartbeat.verdict is Beat.LOST:
                return Interrupted.LOST
            if heartbeat.verdict is Beat.CANCEL:
                return Failure("cancelled", "cancel was asked")
            if ends_at is not None and time.monotonic() >= ends_at:
                return Failure("deadline", "the deadline passed while the job was running")
            if stop.is_set():
                return Interrupted.STOPPED
        for event in child.last_events():
            heartbeat.tell(event)
        return None

    def _settle(self, claimed: Claimed, ended: Ended, stop: threading.Event) -> None:
        """Write how the attempt ended, again while the database is away; the fence keeps out what comes too late."""
        patience = self._timing.stop_grace
        while True:
            try:
                self._write_end(claimed, ended.outcome, ended.child)
                return
            except DatabaseUnavailable as error:
                log.warning("job %s: cannot write how it ended, trying on: %s", claimed.job_id, error)
            except Exception as error:
                log.exception("job %s: cannot write how it ended", claimed.job_id)
                if isinstance(ended.outcome, Failure):
                    return  # the lease runs out, and the job is reaped
                code = error.code if isinstance(error, ForgetcastError) else "internal"
                failure = Failure(code, f"the result cannot be stored: {type(error).__name__}")
                ended = Ended(failure, ended.child)
                continue
            if stop.is_set() and patience <= timedelta(0):
                return
            patience -= self._timing.beat if stop.is_set() else timedelta(0)
            time.sleep(self._timing.beat.total_seconds())

    def _write_end(self, claimed: Claimed, outcome: Outcome, child: ChildEnd) -> None:
        job_id, fence = claimed.job_id, claimed.fence
        if outcome is Interrupted.LOST:
            log.warning("job %s: the lease is lost, the attempt is thrown away", job_id)
            return
        with self._database.transaction() as session:
            if outcome is Interrupted.STOPPED:
                state = jobs.give_back(session, job_id, fence, child=child)
            elif isinstance(outcome, JobResult) and jobs.finish(session, job_id, fence, outcome.report, child=child):
                record_measurement(session, job_id, outcome.before, outcome.after, outcome.report)
                state = JobState.SUCCEEDED
            else:
                # A result that finish refuses came too late: after a cancel, or after another worker's claim.
                failure = outcome if isinstance(outcome, Failure) else Failure("cancelled", "cancel was asked")
                error = {"code": failure.code, "detail": failure.detail}
                state = jobs.release(
                    session,
                    job_id,
                    fence,
                    error,
                    permanent=is_final(failure.code, claimed.past),
                    backoff=self._backoff(claimed),
                    child=child,
                )
        if state is None:
            log.warning("job %s: the lease is lost, the attempt is thrown away", job_id)

    def _backoff(self, claimed: Claimed) -> timedelta:
        # 2^6 times the first wait is beyond the longest already.
        return min(LONGEST_BACKOFF, self._timing.backoff * (1 << min(6, claimed.attempt - 1)))


def _outcome(child: Child, folder: Path, n_upstream: int) -> Outcome:
    """What an ended child left: its result, its own error, or the signal that killed it."""
    if child.returncode == 0:
        try:
            result = read_result(folder)
            json.dumps(result.report, allow_nan=False)  # Postgres stores no NaN in JSON
        except (OSError, ValueError, KeyError, TypeError) as error:
            return Failure("io", f"the child's result cannot be read: {type(error).__name__}: {error}")
        if result.after.shape != (n_upstream,):
            return Failure("internal", f"the child measured {result.after.shape} examples instead of {n_upstream}")
        return result
    failure = _told(folder) or _untold(child.returncode)
    if failure.code == "internal":
        last_words = (folder / LOG).read_text(errors="replace")[-4000:]
        log.error("%s; the child's last words:\n%s", failure.detail, last_words)
    return failure


def _told(folder: Path) -> Failure | None:
    """The error that the child itself has named."""
    try:
        told = json.loads((folder / "error.json").read_bytes())
        return Failure(str(told["code"])[:64], str(told["detail"])[:2000])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _untold(status: int | None) -> Failure:
    if status == -signal.SIGKILL:
        return Failure("host_oom", "the child was killed, most likely because the host ran out of memory")
    if status is not None and status < 0:
        return Failure("internal", f"the child ended by {signal.Signals(-status).name}")
    return Failure("internal", f"the child ended with status {status} and without a result")
