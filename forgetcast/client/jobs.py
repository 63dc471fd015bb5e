"""Jobs: read, follow, wait for, cancel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from forgetcast.client.connection import Connection, segment
from forgetcast.client.following import CallbackRaised, Followed, OnEvent
from forgetcast.errors import ForgetcastError, WaitTimedOut
from forgetcast.schemas import Event, Job, Page

LONG_POLL = 25.0  # seconds; the service admits 30
HOLDABLE = 0.9  # of the time left, for the answer needs some too
SHORT_POLL = 2.0  # seconds, where events are shown and no stream brings them
PATIENCE = 120.0  # seconds without an answer while a job runs: a service that is deployed anew is back by then


class Jobs:
    """`client.jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, job_id: str, *, wait: timedelta = timedelta(0)) -> Job:
        """The job, at once or when it ends within `wait` (up to 30 s)."""
        return self._get(job_id, wait.total_seconds())

    def _get(self, job_id: str, seconds: float, until: float = math.inf) -> Job:
        params = {"wait": f"{seconds:.3g}"} if seconds else None
        path = f"/v1/jobs/{segment(job_id)}"
        return self._connection.read(Job, "GET", path, params=params, waiting=seconds, until=until)

    def cancel(self, job_id: str) -> Job:
        """Ask for the job to end; it may take some seconds."""
        return self._connection.read(Job, "POST", f"/v1/jobs/{segment(job_id)}/cancel")

    def events(self, job_id: str, *, after: int = 0) -> Iterator[Event]:
        """What has happened so far."""
        while True:
            page = self._connection.read(
                Page[Event], "GET", f"/v1/jobs/{segment(job_id)}/events", params={"after": after}
            )
            yield from page.data
            if not (page.has_more and page.data):
                return
            after = page.data[-1].id

    def wait(self, job_id: str, *, timeout: timedelta | float | None = None, on_event: OnEvent | None = None) -> Job:
        """The job once it has ended, however it ended; every event is handed over as it comes.

        `timeout`: a timedelta, or seconds; for ever by default.

        Raises
        ------
        WaitTimedOut : the job goes on, as it does after Ctrl-C
        """
        try:
            return self._wait(job_id, _seconds(timeout), on_event)
        except CallbackRaised as raised:
            raise raised.error from raised.error.__cause__
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"job {job_id} goes on: client.jobs.wait({job_id!r}) waits for it again")
            raise

    def _wait(self, job_id: str, timeout: float, on_event: OnEvent | None) -> Job:
        until = time.monotonic() + timeout
        if on_event is None:
            return self._poll(job_id, until, LONG_POLL, lambda until: None)
        followed = Followed(self._connection, job_id, on_event)
        followed.stream(until)
        return self._poll(job_id, until, SHORT_POLL, followed.catch_up)

    def _poll(self, job_id: str, until: float, interval: float, between: Callable[[float], None]) -> Job:
        """Ask until the job has ended, and once however late it is."""
        answered, state = time.monotonic(), "not heard of"
        while True:
            left = max(0.0, until - time.monotonic())
            try:
                job = self._get(job_id, min(interval, HOLDABLE * left), until)
                between(until)
                answered, state = time.monotonic(), str(job.state)
                if job.terminal:
                    return job
            except ForgetcastError as error:
                if not error.retryable or time.monotonic() > answered + PATIENCE:
                    raise
                time.sleep(max(0.0, min(interval, SHORT_POLL, until - time.monotonic())))
            if time.monotonic() >= until:
                message = f"job {job_id} is {state} after the time given; it goes on"
                raise WaitTimedOut(message, location=f"/v1/jobs/{job_id}")


def _seconds(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return math.inf
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
