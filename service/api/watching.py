"""Jobs that requests wait for: one look a quarter of a second for all of them, and one read for all who are woken.

Who waits says which event it has seen, so what happens between its read and its waiting wakes it as well.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from forgetcast import schemas
from forgetcast.errors import ForgetcastError, JobNotFound
from service.api.known_keys import KnownKeys
from service.api.shared_looks import SharedLook
from service.operations import jobs
from service.storage.database import Database
from service.storage.events import newest_event, newest_events

log = logging.getLogger(__name__)

POLL_EVERY = 0.25
MOST_EVENTS = 1000  # of one read

Admitted = Callable[[], Awaitable[bool]]


class Asked(NamedTuple):
    """A job, and the event after which its events are wanted; None for none of them."""

    job_id: str
    after: int | None


@dataclass(frozen=True)
class Seen:
    """A job, its events after the one that was named, and the newest that the state of the job takes in."""

    job: schemas.Job
    events: list[schemas.Event]
    newest: int


@dataclass(eq=False)
class _Waiter:
    seen: int
    admitted: Admitted
    woken: asyncio.Event = field(default_factory=asyncio.Event)


class JobWatch:
    """One a process, used from its event loop."""

    def __init__(self, database: Database, keys: KnownKeys, draining: threading.Event) -> None:
        self._database = database
        self._keys = keys
        self._draining = draining
        self._read = SharedLook(self._read_jobs)
        self._newest = SharedLook(self._newest_of)
        self._waiters: defaultdict[str, set[_Waiter]] = defaultdict(set)
        self._poller: asyncio.Task[None] | None = None

    async def read(self, job_id: str, after: int | None = None) -> Seen:
        """The job as it is now, and its events after this one. Raises JobNotFound, DatabaseUnavailable."""
        return await self._read(Asked(job_id, after))

    async def change(self, job_id: str, seen: int, admitted: Admitted, timeout: float) -> bool:
        """Whether there is something to look at before the time-out.

        That is an event after `seen`, the end of this process, of the caller's key, or of the database.
        """
        waiter = _Waiter(seen, admitted)
        self._waiters[job_id].add(waiter)
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll())
        try:
            await asyncio.wait_for(waiter.woken.wait(), timeout)
        except TimeoutError:
            return False
        finally:
            self._waiters[job_id].discard(waiter)
            if not self._waiters[job_id]:
                del self._waiters[job_id]
        return True

    def close(self) -> None:
        self._read.close()
        self._newest.close()

    async def _poll(self) -> None:
        keys_of = self._keys.read_at
        while self._waiters:
            await asyncio.sleep(POLL_EVERY)
            if self._draining.is_set():
                self._wake_all()
                continue
            try:
                newest = await self._newest(tuple(self._waiters))
                await self._keys.refresh()
            except Exception as error:
                if not isinstance(error, ForgetcastError):
                    log.exception("nobody can be told what happens to the jobs they wait for")
                self._wake_all()  # their own reads say what is wrong
                continue
            for job_id, waiters in list(self._waiters.items()):
                _wake(waiter for waiter in waiters if waiter.seen < newest.get(job_id, 0))
            if keys_of != self._keys.read_at:
                keys_of = self._keys.read_at
                await self._wake_who_lost_their_key()

    async def _wake_who_lost_their_key(self) -> None:
        for waiter in [waiter for waiters in self._waiters.values() for waiter in waiters]:
            if not await waiter.admitted():
                waiter.woken.set()

    def _wake_all(self) -> None:
        for waiters in self._waiters.values():
            _wake(waiters)

    def _read_jobs(self, asked: Sequence[Asked]) -> dict[Asked, Seen | Exception]:
        found: dict[Asked, Seen | Exception] = {}
        with self._database.read() as session:
            for one in asked:
                try:
                    # The newest event first, then the job: what happens in between is found once more, and not missed.
                    newest = newest_event(session, one.job_id)
                    job = jobs.read_job(session, one.job_id)
                    events = [] if one.after is None else jobs.list_events(session, one.job_id, one.after, MOST_EVENTS)
                    found[one] = Seen(job, events, newest)
                except JobNotFound as error:
                    found[one] = error
        return found

    def _newest_of(self, asked: Sequence[tuple[str, ...]]) -> dict[tuple[str, ...], dict[str, int] | Exception]:
        with self._database.read() as session:
            return {job_ids: newest_events(session, job_ids) for job_ids in asked}


def _wake(waiters: Iterable[_Waiter]) -> None:
    for waiter in waiters:
        waiter.woken.set()
