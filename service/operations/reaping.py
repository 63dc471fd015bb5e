"""Jobs of workers that died, and jobs past their deadline: put back or ended by whoever of the deployment is alive."""

from __future__ import annotations

import logging
import threading
import time
from datetime import timedelta

from forgetcast.errors import DatabaseUnavailable
from service import metrics
from service.storage import jobs
from service.storage.database import Database, seconds_up, takes_writes
from service.storage.failures import PASSING

log = logging.getLogger(__name__)

TURNS_A_LEASE = 12


class Reaper:
    """Puts back the jobs of dead workers, but lets live ones renew first.

    Nothing is reaped within one lease after the start, after that of the database server, or after a time in which it
    did not answer us: then live workers were cut off too. (A short outage made a naive sweeper run 18 of 20 live jobs
    again.)
    """

    def __init__(self, database: Database, lease: timedelta) -> None:
        self._database, self._lease = database, lease.total_seconds()
        self._asked_at: float | None = None
        self._answering_since: float | None = None

    def turn(self) -> None:
        """Reap when it is time to; call it often."""
        now = time.monotonic()
        if self._asked_at is not None and now - self._asked_at < self._lease / TURNS_A_LEASE:
            return
        if self._asked_at is not None and now - self._asked_at > self._lease / 2:
            self._answering_since = None  # we were frozen or busy, and know nothing of the time between
        self._asked_at = now
        reaped: list[str] = []
        try:
            with self._database.transaction() as session:
                if not takes_writes(session):
                    raise DatabaseUnavailable("the database takes no writes just now")
                settled = self._answering_since is not None and now - self._answering_since >= self._lease
                if settled and seconds_up(session) >= self._lease:
                    reaped = jobs.reap(session)
        except PASSING:
            self._answering_since = None
        except Exception:  # one bad row must not take the heartbeat with it
            log.exception("cannot reap")
        else:
            self._answering_since = self._answering_since or now
            metrics.REAPED.inc(len(reaped))


def start_reaping(database: Database, lease: timedelta, stop: threading.Event) -> threading.Thread:
    """Reap until `stop` is set, in a thread: an API does, for there may be no worker to."""
    reaper, pause = Reaper(database, lease), lease.total_seconds() / TURNS_A_LEASE

    def run() -> None:
        while not stop.wait(pause):
            reaper.turn()

    thread = threading.Thread(target=run, name="reaper", daemon=True)
    thread.start()
    return thread
