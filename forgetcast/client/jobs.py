"""Jobs: read, follow, wait for, cancel."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from datetime import timedelta

from forgetcast.client.connection import Connection, segment
from forgetcast.client.following import Followed, OnEvent
from forgetcast.errors import ForgetcastError, WaitTimedOut
from forgetcast.schemas import Event, Job, Page

LONG_POLL = 25.0  # seconds; the service admits 30
SHORT_POLL = 2.0  # seconds, where events are shown and no stream brings them
PATIENCE = 120.0  # seconds without an answer while a job runs: a service that is deployed anew is back by then


class Jobs:
    """`client.jobs`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, job_id: str, *, wait: timedelta = timedelta(0)) -> Job:
        """The job, at once or when it ends within `wait` (up to 30 s)."""
        seconds = wait.total_seconds()
        params = {"wait": f"{seconds:.3g}"} if seconds else None
        return self._connection.read(Job, "GET", f"/v1/jobs/{segment(job_id)}", params=params, waiting=seconds)

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
        except KeyboardInterrupt as interrupt:
            interrupt.add_note(f"job {job_id} goes on: client.jobs.wait({job_id!r}) waits for it again")
            raise

    def _wait(self, job_id: str, timeout: float, on_event: OnEvent | None) -> Job:
        until = time.monotonic() + timeout
        if on_event is None:
            return self._poll(job_id, until, LONG_POLL, lambda: None)
        followed = Followed(self._connection, job_id, on_event)
        followed.stream(until)
        return self._poll(job_id, until, SHORT_POLL, followed.catch_up)

    def _poll(self, job_id: str, until: float, interval: float, between: Callable[[], None]) -> Job:
        answered = time.monotonic()
        while True:
            wait = max(0.0, min(interval, until - time.monotonic()))
            try:
                job = self.get(job_id, wait=timedelta(seconds=wait))
                between()
                answered = time.monotonic()
            except ForgetcastError as error:
                if not error.retryable or time.monotonic() > min(until, answered + PATIENCE):
                    raise
                time.sleep(min(interval, SHORT_POLL))
                continue
            if job.terminal:
                return job
            if time.monotonic() >= until:
                raise WaitTimedOut(
                    f"job {job_id} is {job.state} after the time given; it goes on", location=f"/v1/jobs/{job_id}"
                )


def _seconds(timeout: timedelta | float | None) -> float:
    if timeout is None:
        return math.inf
    return timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
