"""The lease of a job as its worker holds it: renewed in a thread, which nothing but the end of the job ends."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextvars import Context, copy_context
from datetime import timedelta
from functools import partial
from types import TracebackType

from forgetcast.schemas import Progress
from service import metrics
from service.storage import jobs
from service.storage.database import Database
from service.storage.events import append_event
from service.storage.failures import PASSING
from service.storage.jobs import Beat, Claimed
from workers.host.child import ChildEvent, Message

log = logging.getLogger(__name__)

MOST_MESSAGES = 200  # of one attempt; a child that says more has gone mad
LOOK_FOR_CANCEL = 2.0  # seconds
FLUSH_TIME = 15.0  # seconds that the last beat may take when the database is slow


class Heartbeat:
    """Holds the lease of one job from a thread of its own, and carries the child's events into the database.

    A database that does not answer is asked again at every tick: the child goes on, and the fence decides afterwards.
    """

    def __init__(
        self,
        database: Database,
        claimed: Claimed,
        *,
        lease: timedelta,
        every: timedelta,
        tick: timedelta,
        between: Callable[[], None] = lambda: None,
    ) -> None:
        """Renews `every` so often, and at the next `tick` when there is news. `between` is called after each."""
        self.verdict = Beat.HELD
        self._database, self._claimed, self._lease = database, claimed, lease
        self._every, self._tick = every.total_seconds(), tick.total_seconds()
        self._between = between
        self._renewed_at = self._looked_at = time.monotonic()
        self._lock = threading.Lock()
        self._progress: Progress | None = None
        self._messages: list[Message] = []
        self._n_messages = 0
        self._silent = False
        self._ended = threading.Event()
        run = partial(copy_context().run, self._run)  # its log lines carry the ids of the attempt too
        self._thread = threading.Thread(target=run, name=f"heartbeat of {claimed.job_id}", daemon=True)

    @property
    def job_id(self) -> str:
        return self._claimed.job_id

    @property
    def out_of_touch(self) -> float:
        """Seconds since the lease was renewed last."""
        return time.monotonic() - self._renewed_at

    def tell(self, event: ChildEvent) -> None:
        """Note what the child said; of its progress only the newest is written."""
        with self._lock:
            if isinstance(event, Progress):
                self._progress = event
            elif self._n_messages < MOST_MESSAGES:
                self._messages.append(event)
                self._n_messages += 1

    def __enter__(self) -> Heartbeat:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(FLUSH_TIME)

    def _run(self) -> None:
        nobodys = Context()  # what is done in between is not about this job, and its log lines must not say so
        while self.verdict is not Beat.LOST:
            ended = self._ended.wait(self._tick)
            try:
                news = self._progress is not None or bool(self._messages)
                if news or time.monotonic() - self._renewed_at >= self._every or self._cancel_was_asked():
                    self._renew()
                if not ended:
                    nobodys.run(self._between)
            except Exception:  # whatever it was, without this thread the lease runs out and nobody notices
                log.exception("the heartbeat goes on")
            if ended:
                return

    def _cancel_was_asked(self) -> bool:
        """Looked up oftener than the lease is renewed: a read costs the database far less than a write."""
        if time.monotonic() - self._looked_at < LOOK_FOR_CANCEL:
            return False
        self._looked_at = time.monotonic()
        try:
            with self._database.read() as session:
                return jobs.cancel_was_asked(session, self._claimed.job_id)
        except PASSING:
            return False

    def _renew(self) -> None:
        progress, messages = self._progress, list(self._messages)
        try:
            verdict = self._write(progress, messages)
        except PASSING as error:
            metrics.RENEWALS.labels("unavailable").inc()
            if not self._silent:
                log.warning("cannot renew the lease, trying on: %s", error)
            self._silent = True
            return
        except Exception:  # anything else would end the thread, and with it the lease
            log.exception("this news cannot be stored and is left out")
        else:
            metrics.RENEWALS.labels(verdict.value).inc()
            self.verdict, self._renewed_at, self._silent = verdict, time.monotonic(), False
        with self._lock:
            del self._messages[: len(messages)]
            self._progress = None if self._progress is progress else self._progress

    def _write(self, progress: Progress | None, messages: list[Message]) -> Beat:
        job_id, fence = self._claimed.job_id, self._claimed.fence
        noted = None if progress is None else progress.model_dump(mode="json")
        with self._database.transaction() as session:
            verdict = jobs.beat(session, job_id, fence, self._lease, noted)
            if verdict is not Beat.LOST:
                for message in messages:
                    data = {"attempt": self._claimed.attempt}
                    append_event(session, job_id, "message", message.level, message.text, data)
        return verdict
