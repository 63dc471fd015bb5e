"""Indexes for what is looked for: every foreign key, tasks of a matrix in order, what waits and what runs.

Those of jobs leave out what has ended, which is nearly all of them before long.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0014_lookups"
down_revision = "0013_event_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_matrix_upstream_set_id", "matrix", ["upstream_set_id"])
    op.create_index("ix_known_row_task_id", "known_row", ["task_id"])
    _create_partial("ix_task_dataset_sha256", "task", ["dataset_sha256"], "dataset_sha256 IS NOT NULL")
    _create_partial("ix_task_repeat_of", "task", ["repeat_of"], "repeat_of IS NOT NULL")
    _create_partial("ix_measurement_job_id", "measurement", ["job_id"], "job_id IS NOT NULL")
    op.create_index("ix_task_matrix_id_id", "task", ["matrix_id", "id"])
    op.drop_index("ix_task_matrix_id", "task")
    op.create_index("ix_job_task_id_id", "job", ["task_id", "id"])
    op.drop_index("ix_job_task_id", "job")
    for name in ("ix_job_claim", "ix_job_deadline", "ix_job_submitted"):
        op.drop_index(name, "job")
    queued = "state = 'queued'"
    _create_partial("ix_job_claim", "job", ["hardware", sa.text("priority DESC"), "id"], queued)
    _create_partial("ix_job_deadline", "job", ["deadline"], f"{queued} AND deadline IS NOT NULL")
    _create_partial("ix_job_submitted", "job", ["submitted_by"], queued)
    _create_partial("ix_job_running", "job", ["id"], "state = 'running'")


def downgrade() -> None:
    for name in ("ix_job_running", "ix_job_submitted", "ix_job_deadline", "ix_job_claim"):
        op.drop_index(name, "job")
    op.create_index("ix_job_submitted", "job", ["submitted_by", "state"])
    op.create_index("ix_job_deadline", "job", ["state", "deadline"])
    op.create_index("ix_job_claim", "job", ["state", sa.text("priority DESC"), "id"])
    op.create_index("ix_job_task_id", "job", ["task_id"])
    op.drop_index("ix_job_task_id_id", "job")
    op.create_index("ix_task_matrix_id", "task", ["matrix_id"])
    op.drop_index("ix_task_matrix_id_id", "task")
    op.drop_index("ix_measurement_job_id", "measurement")
    op.drop_index("ix_task_repeat_of", "task")
    op.drop_index("ix_task_dataset_sha256", "task")
    op.drop_index("ix_known_row_task_id", "known_row")
    op.drop_index("ix_matrix_upstream_set_id", "matrix")


def _create_partial(name: str, table: str, columns: list[Any], condition: str) -> None:
    where = sa.text(condition)
    op.create_index(name, table, columns, sqlite_where=where, postgresql_where=where)
