"""A worker's own row in the database: written while it lives, so that operators and estimates know of it."""

from __future__ import annotations

import logging
import socket
import time
from datetime import timedelta

from service import metrics
from service.storage import workers
from service.storage.database import Database
from service.storage.failures import PASSING

log = logging.getLogger(__name__)


class Presence:
    """Says that a worker is there. A database that does not answer is told later: nothing depends on this row."""

    def __init__(
        self,
        database: Database,
        worker_id: str,
        *,
        hardware: list[str],
        gpu: str | None,
        every: timedelta,
        lease: timedelta,
    ) -> None:
        self._database, self._worker_id = database, worker_id
        self._hardware, self._gpu = hardware, gpu
        self._every, self._lease = every.total_seconds(), lease
        self._job_id: str | None = None
        self._due_at = 0.0

    def work_on(self, job_id: str | None) -> None:
        """What the worker does from now on; written at the next turn."""
        self._job_id, self._due_at = job_id, 0.0

    def turn(self) -> None:
        """Write the row when it is time to; call it often."""
        if time.monotonic() < self._due_at:
            return
        self._due_at = time.monotonic() + self._every
        try:
            with self._database.transaction() as session:
                workers.note_worker(
                    session,
                    self._worker_id,
                    host=socket.gethostname(),
                    hardware=self._hardware,
                    gpu=self._gpu,
                    version=metrics.VERSION,
                    job_id=self._job_id,
                )
                workers.forget_silent_workers(session, self._lease)
        except PASSING:
            return
        except Exception:  # a row for people must not end the work
            log.exception("cannot write that this worker is there")
            return
        metrics.WORKER_UP.set(1)
        metrics.WORKER_SEEN.set_to_current_time()

    def leave(self) -> None:
        """Take the row away, if the database answers; else it is forgotten in time."""
        metrics.WORKER_UP.set(0)
        try:
            with self._database.transaction() as session:
                workers.remove_worker(session, self._worker_id)
        except Exception as error:  # nothing depends on it, and the worker ends all the same
            log.warning("cannot say that this worker leaves; it is listed as silent for a while: %s", error)
