"""Tasks that were ordered the same as another one whose job is at work, and get its cells."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010_job_share"
down_revision = "0009_imported_dataset"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_share",
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_job_share_task_id")),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_share_job_id")),
        sa.PrimaryKeyConstraint("task_id", name=op.f("pk_job_share")),
    )
    op.create_index(op.f("ix_job_share_job_id"), "job_share", ["job_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_job_share_job_id"), "job_share")
    op.drop_table("job_share")
