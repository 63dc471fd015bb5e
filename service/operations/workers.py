"""Workers as an operator sees them."""

from __future__ import annotations

from datetime import timedelta

from forgetcast import schemas
from service.storage import workers as storage
from service.storage.database import Session, moment
from service.storage.jobs import ANY_HARDWARE


def list_workers(session: Session, lease: timedelta) -> list[schemas.Worker]:
    """Every worker seen lately, those that are silent by now too."""
    return [_view(seen, lease) for seen in storage.list_workers(session, lease)]


def order_warnings(session: Session, hardware: str, lease: timedelta) -> list[str]:
    """Why a job that is ordered now for this hardware class would not start: nobody is there who takes it."""
    alive = [worker for worker in list_workers(session, lease) if worker.alive]
    if not alive:
        return ["no_worker: no worker was seen within one lease, so the job waits until one is started"]
    classes = sorted({name for worker in alive for name in worker.hardware})
    if hardware in (ANY_HARDWARE, *classes):
        return []
    return [f"no_hardware: no live worker takes jobs for {hardware!r}; they take {', '.join(classes)}"]


def _view(seen: storage.Seen, lease: timedelta) -> schemas.Worker:
    worker = seen.worker
    return schemas.Worker(
        id=worker.id,
        host=worker.host,
        hardware=worker.hardware,
        gpu=worker.gpu,
        version=worker.version,
        job=worker.job_id,
        alive=seen.silent <= lease.total_seconds(),
        started_at=moment(worker.started_at),
        seen_at=moment(worker.seen_at),
    )
