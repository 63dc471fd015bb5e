"""Work at fits and back-tests: what is due, who is at it, and how it failed before.

    due --claim--> leased --finish--> no row
                     |  |
                     |  +--give_back--> due
                     +--fail, or its lease ran out--> waits, longer each time --> due

A claim has a token of its own. Whoever keeps a result or notes a failure names it, and has lost the work when the row
has another one. Of a matrix at most one fit and one back-test are at work, whichever their versions.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from service.storage.database import now
from service.storage.ids import new_id
from service.storage.locks import hold, locked
from service.storage.tables import Fit, FitRequest, FitWork, KnownRow, Matrix

FIRST_WAIT, LONGEST_WAIT = timedelta(minutes=1), timedelta(hours=6)  # after a failure; four times as long after each
LOST = {"code": "worker_lost", "detail": "whoever was at it did not renew its lease, twice in a row at least"}


class Kind(StrEnum):
    FIT = "fit"
    BACKTEST = "backtest"


class Due(StrEnum):
    """Where work comes from, in the order in which it is done: what reads wait for comes first."""

    FIT = "the newest version of a matrix is not fitted"
    ASKED_FIT = "a read asked for an older version that is not fitted"
    BACKTEST = "the newest version of a matrix is fitted and not back-tested"
    ASKED_BACKTEST = "an older version that a read asked for is fitted and not back-tested"

    @property
    def kind(self) -> Kind:
        return Kind.FIT if self in (Due.FIT, Due.ASKED_FIT) else Kind.BACKTEST


@dataclass(frozen=True)
class FitOrder:
    """Work that is this claim's, as long as the row keeps its token."""

    matrix_id: str
    matrix_version: int
    model_version: int
    kind: Kind
    token: str
    n_failed: int = 0  # attempts before this one

    @property
    def key(self) -> tuple[str, int, int, str]:
        return self.matrix_id, self.matrix_version, self.model_version, self.kind


@dataclass(frozen=True)
class FitFailure:
    """How the last attempt failed, how many have by now, and when the next one is due (seconds since 1970)."""

    kind: Kind
    matrix_version: int
    code: str
    detail: str
    n_failed: int
    again_at: float


def any_due(session: Session, model_version: int, quiet: timedelta, among: tuple[Due, ...] = tuple(Due)) -> bool:
    """Whether there is work, or a lease that ran out: a look that locks nothing."""
    lost = session.scalar(sa.select(FitWork.token).where(*_is_lost()).limit(1))
    return lost is not None or _first_due(session, model_version, quiet, among) is not None


def claim(
    session: Session,
    model_version: int,
    owner: str,
    lease: timedelta,
    quiet: timedelta,
    among: tuple[Due, ...] = tuple(Due),
) -> FitOrder | None:
    """Take the first work that is due; None when there is none. `quiet`: so long a matrix has not changed."""
    hold(session, ("fit work",))
    _note_lost(session)
    found = _first_due(session, model_version, quiet, among)
    if found is None:
        return None
    due, matrix_id, matrix_version = found
    key = matrix_id, matrix_version, model_version, due.kind.value
    work = locked(session, FitWork, key)
    if work is None:
        work = FitWork(matrix_id=key[0], matrix_version=key[1], model_version=key[2], kind=key[3], n_failed=0)
        session.add(work)
    token = f"{owner}:{new_id('fit')}"
    work.token, work.lease_until = token, now() + lease.total_seconds()
    session.flush()
    return FitOrder(matrix_id, matrix_version, model_version, due.kind, token, work.n_failed)


def renew(session: Session, order: FitOrder, lease: timedelta) -> bool:
    """Hold the work for another lease; False when it is lost."""
    return _update(session, order, lease_until=now() + lease.total_seconds())


def finish(session: Session, order: FitOrder) -> bool:
    """End the work with success; False when it is lost, and nothing may be kept."""
    if session.execute(sa.delete(FitWork).where(*_held(order)).returning(FitWork.kind)).first() is None:
        return False
    asked = sa.exists().where(
        FitRequest.matrix_id == FitWork.matrix_id, FitRequest.matrix_version == FitWork.matrix_version
    )
    superseded = (FitWork.matrix_id == order.matrix_id, FitWork.matrix_version < order.matrix_version)
    session.execute(sa.delete(FitWork).where(*superseded, FitWork.token.is_(None), ~asked))
    return True


def fail(session: Session, order: FitOrder, code: str, detail: str) -> bool:
    """Note a failure: the work waits, and others go on. False when it is lost."""
    wait = _wait(order.n_failed + 1).total_seconds()
    error = {"code": code, "detail": detail}
    free = {"token": None, "lease_until": None}
    return _update(session, order, **free, n_failed=order.n_failed + 1, error=error, not_before=now() + wait)


def give_back(session: Session, order: FitOrder) -> bool:
    """Return work whose worker goes away in good order, or cannot reach the database: nothing has failed."""
    return _update(session, order, token=None, lease_until=None)


def failure(session: Session, matrix_id: str, matrix_version: int, model_version: int) -> FitFailure | None:
    """How the fit, or else the back-test, of a matrix version failed, while it has."""
    of_version = (FitWork.matrix_id == matrix_id, FitWork.matrix_version == matrix_version)
    rows = sa.select(FitWork).where(*of_version, FitWork.model_version == model_version, FitWork.error.is_not(None))
    work = session.scalar(rows.order_by(FitWork.kind.desc()).limit(1))
    if work is None:
        return None
    assert work.error is not None
    code, detail = work.error["code"], work.error["detail"]
    return FitFailure(Kind(work.kind), matrix_version, code, detail, work.n_failed, work.not_before)


def count_failed(session: Session, model_version: int) -> int:
    """How many fits and back-tests have failed of versions that are still wanted."""
    asked = sa.exists().where(
        FitRequest.matrix_id == FitWork.matrix_id, FitRequest.matrix_version == FitWork.matrix_version
    )
    is_newest = sa.exists().where(Matrix.id == FitWork.matrix_id, Matrix.version == FitWork.matrix_version)
    failed = sa.select(sa.func.count()).select_from(FitWork)
    failed = failed.where(FitWork.model_version == model_version, FitWork.error.is_not(None), is_newest | asked)
    return session.scalar(failed) or 0


def _note_lost(session: Session) -> None:
    """A lease that ran out is a failure, for the work may be what ended its worker; a first one is forgiven."""
    lost = sa.select(FitWork).where(*_is_lost()).with_for_update(skip_locked=True)  # locked: it is just being kept
    for work in session.scalars(lost).all():
        work.token, work.lease_until, work.n_failed = None, None, work.n_failed + 1
        if work.n_failed > 1:
            work.error = LOST
            work.not_before = now() + _wait(work.n_failed).total_seconds()
    session.flush()


def _is_lost() -> tuple[sa.ColumnElement[bool], ...]:
    return FitWork.lease_until.is_not(None), FitWork.lease_until < now()


def _wait(n_failed: int) -> timedelta:
    return min(LONGEST_WAIT, FIRST_WAIT * (1 << 2 * min(n_failed - 1, 8)))


def _first_due(
    session: Session, model_version: int, quiet: timedelta, among: tuple[Due, ...]
) -> tuple[Due, str, int] | None:
    for due in among:
        row = session.execute(_due(due, model_version, quiet).limit(1)).first()
        if row is not None:
            return due, row[0], row[1]
    return None


def _due(due: Due, model_version: int, quiet: timedelta) -> sa.Select[str, int]:
    """Matrix and version of work of one kind that nobody is at, the longest waiting first."""
    found: sa.Select[str, int]
    if due in (Due.FIT, Due.BACKTEST):
        of = Matrix.id, Matrix.version
        found = sa.select(*of).order_by(Matrix.changed_at, Matrix.id)
    else:
        of = FitRequest.matrix_id, FitRequest.matrix_version
        found = sa.select(*of).order_by(FitRequest.asked_at)
    fitted = (Fit.matrix_id == of[0], Fit.matrix_version == of[1], Fit.model_version == model_version)
    if due.kind is Kind.FIT:
        found = found.where(~sa.exists().where(*fitted))
    else:
        found = found.where(sa.exists().where(*fitted, Fit.tested.is_(False)))
    if due is Due.FIT:
        known = sa.exists().where(KnownRow.matrix_id == Matrix.id, KnownRow.until.is_(None))
        found = found.where(known, Matrix.changed_at <= now() - quiet.total_seconds())
    at_work = (FitWork.matrix_id == of[0], FitWork.kind == due.kind.value, FitWork.token.is_not(None))
    same = (FitWork.matrix_id == of[0], FitWork.matrix_version == of[1], FitWork.model_version == model_version)
    waits = (*same, FitWork.kind == due.kind.value, FitWork.not_before > now())
    return found.where(~sa.exists().where(*at_work), ~sa.exists().where(*waits))


def _held(order: FitOrder) -> tuple[sa.ColumnElement[bool], ...]:
    matrix_id, matrix_version, model_version, kind = order.key
    return (
        FitWork.matrix_id == matrix_id,
        FitWork.matrix_version == matrix_version,
        FitWork.model_version == model_version,
        FitWork.kind == kind,
        FitWork.token == order.token,
    )


def _update(session: Session, order: FitOrder, **values: Any) -> bool:
    changed = sa.update(FitWork).where(*_held(order)).values(values).returning(FitWork.kind)
    return session.execute(changed.execution_options(synchronize_session=False)).first() is not None
