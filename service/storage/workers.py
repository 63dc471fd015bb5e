"""Workers that are there. Who is alive is judged on the database's clock, like leases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.database import now
from service.storage.insert import insert_absent
from service.storage.tables import Worker

LEASES_LISTED = 10  # so many leases a silent worker is still shown, for an operator to see that it is gone


@dataclass(frozen=True)
class Seen:
    """A worker's row, and how long ago it was written, in seconds."""

    worker: Worker
    silent: float


def note_worker(
    session: Session,
    worker_id: str,
    *,
    host: str,
    hardware: list[str],
    gpu: str | None,
    version: str,
    job_id: str | None,
) -> None:
    """Write that this worker lives, and what it works on."""
    again = sa.update(Worker).where(Worker.id == worker_id).values(job_id=job_id, seen_at=now())
    found = session.execute(again.returning(Worker.id).execution_options(synchronize_session=False)).first()
    if found is None:
        about = {"host": host, "hardware": hardware, "gpu": gpu, "version": version, "job_id": job_id}
        insert_absent(session, Worker, id=worker_id, **about)


def remove_worker(session: Session, worker_id: str) -> None:
    """A worker leaves in good order."""
    session.execute(sa.delete(Worker).where(Worker.id == worker_id))


def forget_silent_workers(session: Session, lease: timedelta) -> None:
    """Remove the rows of workers that died long ago."""
    silent = sa.select(Worker.id).where(Worker.seen_at < now() - LEASES_LISTED * lease.total_seconds())
    silent = silent.with_for_update(skip_locked=True)  # one that comes back just now may be forgetting us
    session.execute(sa.delete(Worker).where(Worker.id.in_(silent)))


def list_workers(session: Session, lease: timedelta) -> list[Seen]:
    """Workers seen within ten leases, by id."""
    silent = now() - Worker.seen_at
    found = session.execute(
        sa.select(Worker, silent).where(silent <= LEASES_LISTED * lease.total_seconds()).order_by(Worker.id)
    )
    return [Seen(worker, max(0.0, seconds)) for worker, seconds in found]
