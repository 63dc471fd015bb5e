"""What forecasts of several tasks rest on, in one statement: the cheapest read that says whether an answer holds."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import sqlalchemy as sa

from service.storage.tables import Fit, Task


@dataclass(frozen=True)
class TaskVersions:
    """A task's matrix and row version, and the newest fitted matrix version, None without any fit.

    `tested`: whether that fit is back-tested; until then a summary has no quality to show.
    """

    task_id: str
    matrix_id: str
    row_version: int
    fitted_version: int | None
    tested: bool


def read_versions(connection: sa.Connection, task_ids: Collection[str], model_version: int) -> dict[str, TaskVersions]:
    """By task id; tasks that do not exist are left out."""
    found = connection.execute(_STATEMENT, {"ids": list(task_ids), "model_version": model_version})
    return {row[0]: TaskVersions(row[0], row[1], row[2], row[3], bool(row[4])) for row in found}


def _statement() -> sa.Select[str, str, int, int | None, bool | None]:
    model_version = sa.bindparam("model_version", type_=sa.Integer)
    older = sa.alias(Fit.__table__)
    newest = (
        sa.select(sa.func.max(older.c.matrix_version))
        .where(older.c.matrix_id == Task.matrix_id, older.c.model_version == model_version)
        .correlate(Task)
        .scalar_subquery()
    )
    same = sa.and_(Fit.matrix_id == Task.matrix_id, Fit.matrix_version == newest, Fit.model_version == model_version)
    return (
        sa.select(Task.id, Task.matrix_id, Task.row_version, Fit.matrix_version, Fit.tested)
        .outerjoin(Fit, same)
        .where(Task.id.in_(sa.bindparam("ids", expanding=True, type_=sa.String)))
    )


_STATEMENT = _statement()
