"""The worker's loop: reap, claim, start a child, renew the lease, finish or release. Knows no torch.

claim -> job directory -> child -> result   -> finish, with the measurement, in one transaction
                                -> error    -> release: queued again or failed
                                -> cancel   -> stop the child, release
                                -> drain    -> let the child save what it has, give the job back: the attempt does not
                                               count
                                -> lost     -> kill the child, throw away what it made

The job directory stays on the host until the job ends: a later attempt here goes on from what is whole in it, and a
result that could not be written is written then, or when a worker starts.
"""

from __future__ import annotations

import logging
import math
import os
import shutil
import socket
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

from forgetcast.errors import ForgetcastError
from forgetcast.schemas import JobState
from service.logs import bound
from service.operations.job_errors import is_final
from service.operations.job_material import read_job_material, store_result
from service.operations.reaping import Reaper
from service.queue import JobQueue
from service.storage import jobs
from service.storage.attempts import ChildEnd
from service.storage.database import Database
from service.storage.failures import PASSING
from service.storage.ids import new_id
from service.storage.jobs import Beat, Claimed
from workers.host.base_values import BaseValuesKeeper
from workers.host.child import COMMAND, Child
from workers.host.gpu import Gpu
from workers.host.leases import Heartbeat
from workers.host.outcome import Ended, Failure, Interrupted, child_outcome, failure_of, spooled_result
from workers.host.prepare import drop_folder, free_folders, job_folder, sweep_folders, sweep_weights, write_job
from workers.host.presence import Presence
from workers.host.stall import StallClock
from workers.job_directory import JobOrder, JobResult, read_result

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
    drain_grace: timedelta = timedelta(seconds=25)  # for a child to save what it has, when the worker is stopped
    stall: timedelta = timedelta(minutes=15)  # without progress; loading the model may take four times as long
    max_outage: timedelta = timedelta(minutes=15)  # that a child goes on while its lease cannot be renewed
    checkpoint: timedelta = timedelta(minutes=10)  # of fine-tuning that a crash may cost
    keep_weights: timedelta = timedelta(0)  # fine-tuned weights, for later jobs of the same task
    sweep: timedelta = timedelta(minutes=1)  # between two looks for folders of jobs that ended elsewhere
    backoff: timedelta = timedelta(seconds=5)  # after the first failure; doubled after each


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
        max_steps: int = 1_000_000,
    ) -> None:
        """`model_folder`: a model's id and revision -> its files; `max_steps`: of a fine-tuning in this deployment."""
        self._database, self._queue = database, queue
        self._jobs_folder, self._model_folder = jobs_folder, model_folder
        self._weights_folder = jobs_folder.parent / "weights"
        self._swept_at = -math.inf
        self._hardware = list(dict.fromkeys([*hardware, jobs.ANY_HARDWARE]))
        self._timing = timing or Timing()
        self._command, self._gpu, self._max_steps = command, gpu, max_steps
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
        self._write_spooled()
        try:
            while not stop.is_set():
                self._sweep()
                worked = self._turn(stop)
                if once:
                    return
                if not worked and not stop.is_set():
                    self._queue.receive(self._hardware, self._timing.poll)
        finally:
            self._presence.leave()

    def _write_spooled(self) -> None:
        """Write the results that a worker before this one could not write, where their leases are not reaped yet."""
        for folder in free_folders(self._jobs_folder):
            try:
                order, result = JobOrder.read(folder), read_result(folder)
                with self._database.transaction() as session:
                    stored = store_result(session, order.job_id, order.fence, result, ChildEnd(0))
            except PASSING:
                return  # whoever claims the job here will find the result
            except (OSError, ValueError, KeyError, TypeError):
                continue  # there is none, or none that can be used
            except Exception:  # a result that cannot be stored must not keep the worker from its work
                log.exception("the result in %s cannot be stored", folder)
                continue
            if stored:
                shutil.rmtree(folder, ignore_errors=True)
                log.info("job %s: its result was still here", order.job_id, extra={"job_id": order.job_id})

    def _sweep(self) -> None:
        """Now and then, remove what is of no more use on this host's disk."""
        if time.monotonic() - self._swept_at < self._timing.sweep.total_seconds():
            return
        self._swept_at = time.monotonic()
        try:
            with self._database.read() as session:
                sweep_folders(self._jobs_folder, lambda job_ids: jobs.active_jobs(session, job_ids))
        except PASSING as error:
            log.warning("cannot sweep the job folders: %s", error)

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
        except PASSING as error:
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
        state = self._settle(claimed, ended, stop)
        if state is not None and state.terminal:
            drop_folder(self._jobs_folder, claimed.job_id)

    def _attempt(self, claimed: Claimed, heartbeat: Heartbeat, stop: threading.Event) -> Ended:
        """Prepare and run a child; whatever goes wrong is an outcome, for the worker goes on."""
        ends_at = None if claimed.seconds_left is None else time.monotonic() + claimed.seconds_left
        try:
            with job_folder(self._jobs_folder, claimed.job_id, claimed.fence) as (folder, lock):
                n_upstream = self._prepare(folder, claimed)
                spooled = spooled_result(folder, n_upstream)
                if spooled is not None:
                    log.info("job %s: the result of an earlier attempt is here", claimed.job_id)
                    return Ended(spooled)
                with self._start(folder, lock) as child:
                    base = BaseValuesKeeper(self._database, claimed.job_id, folder, n_upstream)
                    interruption = self._follow(child, heartbeat, base, ends_at, stop)
                    base.end()
                    if interruption is not None:
                        self._end(child, heartbeat, interruption)
                        if interruption is not Interrupted.STOPPED or child.returncode != 0:
                            return Ended(interruption, child.end)
                    return Ended(child_outcome(child, folder, n_upstream), child.end)
        except PASSING as error:
            log.warning("job %s: cannot be prepared, and is given back: %s", claimed.job_id, error)
            return Ended(Interrupted.STOPPED)
        except Exception as error:
            failure = failure_of(error)
            if failure.code == "internal":
                log.exception("job %s", claimed.job_id)
            return Ended(failure)

    def _prepare(self, folder: Path, claimed: Claimed) -> int:
        """Fill the job directory; how many upstream examples it asks for."""
        sweep_weights(self._weights_folder, self._timing.keep_weights)
        with self._database.read() as session:
            material = read_job_material(session, claimed.job_id)
        order = JobOrder(
            job_id=claimed.job_id,
            attempt=claimed.attempt,
            fence=claimed.fence,
            model_folder=str(self._model_folder(material.model, material.model_revision)),
            model_revision=material.model_revision,
            recipe=material.recipe,
            setting=material.setting,
            seed=material.seed,
            dataset_sha256=material.dataset_sha256,
            weights_folder="",
            ways_folder=str(self._weights_folder.with_name("ways")),
            split=2 ** claimed.past.count("gpu_oom"),
            checkpoint_seconds=self._timing.checkpoint.total_seconds(),
            max_steps=self._max_steps,
        )
        weights = self._weights_folder / order.training_sha256 if self._timing.keep_weights else folder / "weights"
        order = replace(order, weights_folder=str(weights))
        write_job(folder, material, order)
        return len(material.upstream)

    def _start(self, folder: Path, lock: int) -> Child:
        if self._gpu is None:
            return Child(folder, self._command, held=(lock,))
        return Child(folder, self._command, also=self._gpu.environment, held=(lock, *self._gpu.locks))

    def _follow(
        self,
        child: Child,
        heartbeat: Heartbeat,
        base: BaseValuesKeeper,
        ends_at: float | None,
        stop: threading.Event,
    ) -> Failure | Interrupted | None:
        """Pass on what the child says until it ends, which is None, or has to be stopped."""
        stall = StallClock(self._timing.stall)
        while child.running:
            for event in child.events(LOOK_AT_CHILD):
                heartbeat.tell(event)
                stall.note(event)
                base.note(event)
            if heartbeat.verdict is Beat.LOST:
                return Interrupted.LOST
            if heartbeat.verdict is Beat.CANCEL:
                return Failure("cancelled", "cancel was asked")
            if ends_at is not None and time.monotonic() >= ends_at:
                return Failure("deadline", "the deadline passed while the job was running")
            if (complaint := stall.complaint()) is not None:
                return Failure("stalled", complaint)
            if stop.is_set():
                return Interrupted.STOPPED
            if heartbeat.out_of_touch > self._timing.max_outage.total_seconds():
                log.warning("job %s: the lease could not be renewed for too long; the child ends", heartbeat.job_id)
                return Interrupted.STOPPED
        for event in child.last_events():
            heartbeat.tell(event)
        return None

    def _end(self, child: Child, heartbeat: Heartbeat, why: Failure | Interrupted) -> None:
        """Stop a child; one whose worker is stopped may first save what it has, or finish."""
        if why is Interrupted.STOPPED:
            child.ask_to_leave()
            until = time.monotonic() + self._timing.drain_grace.total_seconds()
            while child.running and time.monotonic() < until and heartbeat.verdict is Beat.HELD:
                for event in child.events(LOOK_AT_CHILD):
                    heartbeat.tell(event)
        child.stop(self._timing.stop_grace if isinstance(why, Failure) else timedelta(0))

    def _settle(self, claimed: Claimed, ended: Ended, stop: threading.Event) -> JobState | None:
        """Write how the attempt ended, again while the database is away; the fence keeps out what comes too late.

        The job's state then; None when the lease is lost, or the database did not answer before this worker must stop.
        """
        patience = self._timing.stop_grace
        while True:
            try:
                return self._write_end(claimed, ended)
            except PASSING as error:
                log.warning("job %s: cannot write how it ended, trying on: %s", claimed.job_id, error)
            except Exception as error:
                log.exception("job %s: cannot write how it ended", claimed.job_id)
                if isinstance(ended.outcome, Failure):
                    return None  # the lease runs out, and the job is reaped
                code = error.code if isinstance(error, ForgetcastError) else "internal"
                failure = Failure(code, f"the result cannot be stored: {type(error).__name__}")
                ended = Ended(failure, ended.child)
                continue
            if stop.is_set() and patience <= timedelta(0):
                return None
            patience -= self._timing.beat if stop.is_set() else timedelta(0)
            time.sleep(self._timing.beat.total_seconds())

    def _write_end(self, claimed: Claimed, ended: Ended) -> JobState | None:
        job_id, fence, outcome, child = claimed.job_id, claimed.fence, ended.outcome, ended.child
        if outcome is Interrupted.LOST:
            log.warning("job %s: the lease is lost, the attempt is thrown away", job_id)
            return None
        with self._database.transaction() as session:
            state: JobState | None
            if outcome is Interrupted.STOPPED:
                state = jobs.give_back(session, job_id, fence, child=child)
            elif isinstance(outcome, JobResult) and store_result(session, job_id, fence, outcome, child):
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
        return state

    def _backoff(self, claimed: Claimed) -> timedelta:
        # 2^6 times the first wait is beyond the longest already.
        return min(LONGEST_BACKOFF, self._timing.backoff * (1 << min(6, claimed.attempt - 1)))
