"""Workers as an operator sees them."""

from __future__ import annotations

from datetime import timedelta

from forgetcast import schemas
from service.storage import workers as storage
from service.storage.database import Session, moment


def list_workers(session: Session, lease: timedelta) -> list[schemas.Worker]:
    """Every worker seen lately, those that are silent by now too."""
    return [_view(seen, lease) for seen in storage.list_workers(session, lease)]


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
