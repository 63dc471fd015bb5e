"""Events of a job: appended by whoever changes its row, read by lists and by the event stream.

Their ids rise in the order of the commits, so a reader that goes on after the last id it saw misses nothing: whoever
appends has locked or changed the job's row in the same transaction, or inserted it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Session

from service import metrics
from service.storage.database import after_commit
from service.storage.tables import Event

log = logging.getLogger(__name__)

LONGEST_MESSAGE = 2000

EventType = Literal["message", "progress", "state"]
Level = Literal["info", "warn", "error"]
NOTED = ("state", "attempt", "code")
LOG_LEVELS: dict[Level, int] = {"info": logging.INFO, "warn": logging.WARNING, "error": logging.ERROR}


def append_event(
    session: Session, job_id: str, type: EventType, level: Level, message: str, data: dict[str, Any]
) -> None:
    """Add one event; the caller holds the job's row. A change of state is also logged and counted, once committed."""
    values = {"job_id": job_id, "type": type, "level": level, "message": storable(message), "data": data}
    session.execute(sa.insert(Event).values(values))
    if type == "state":
        after_commit(session, partial(_note_change, job_id, level, data))


def list_events(session: Session, job_id: str, after: int, limit: int) -> Sequence[Event]:
    """Up to `limit` events of a job after the one with the id `after`, oldest first."""
    found = sa.select(Event).where(Event.job_id == job_id, Event.id > after)
    return session.scalars(found.order_by(Event.id).limit(limit)).all()


def newest_event(session: Session, job_id: str) -> int:
    """The id of the newest event of a job; 0 when there is none."""
    return session.scalar(sa.select(sa.func.max(Event.id)).where(Event.job_id == job_id)) or 0


def newest_events(session: Session, job_ids: Sequence[str]) -> dict[str, int]:
    """The id of the newest event of each of these jobs that has one, as every job has."""
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    found = session.execute(
        _NEWEST_ON_SQLITE if is_sqlite else _NEWEST_ON_POSTGRES, {"job_ids": _sent(job_ids, is_sqlite)}
    )
    return {job_id: event_id for job_id, event_id in found if event_id is not None}


def _newest_of(asked: sa.ColumnElement[str]) -> sa.Select[str, int | None]:
    """One parameter however many jobs: a thousand take half the processor time that a thousand parameters take."""
    return sa.select(asked, sa.select(sa.func.max(Event.id)).where(Event.job_id == asked).scalar_subquery())


def _sent(job_ids: Sequence[str], is_sqlite: bool) -> str | list[str]:
    return json.dumps(job_ids) if is_sqlite else list(job_ids)


_NEWEST_ON_SQLITE = _newest_of(sa.func.json_each(sa.bindparam("job_ids")).table_valued("value").c.value)
_NEWEST_ON_POSTGRES = _newest_of(sa.func.unnest(sa.bindparam("job_ids", type_=ARRAY(sa.String))).column_valued("asked"))


def _note_change(job_id: str, level: Level, data: dict[str, Any]) -> None:
    """Not the message: an error's detail may quote the user's data."""
    fields = {"job_id": job_id, "task_id": data.get("task"), **{key: data.get(key) for key in NOTED}}
    present = {key: value for key, value in fields.items() if value is not None}
    log.log(LOG_LEVELS[level], "job %s", data["state"], extra=present)
    metrics.count_job(data["state"], data.get("code"))


def storable(message: str) -> str:
    """Postgres keeps neither NUL nor half of a surrogate pair, and a child may print both."""
    text = message.encode("utf-8", "replace").decode().replace("\0", "\N{REPLACEMENT CHARACTER}")
    return text[:LONGEST_MESSAGE]
