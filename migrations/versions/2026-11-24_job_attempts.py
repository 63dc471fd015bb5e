"""A log of attempts: who ran a job when, and how that ended."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_job_attempt"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_attempt",
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("worker", sa.String(length=128), nullable=False),
        sa.Column("gpu", sa.String(length=128), nullable=True),
        sa.Column("started_at", sa.Double(), nullable=False),
        sa.Column("ended_at", sa.Double(), nullable=True),
        sa.Column("outcome", sa.String(length=64), nullable=True),
        sa.Column("detail", sa.String(), nullable=True),
        sa.Column("exit_status", sa.Integer(), nullable=True),
        sa.Column("max_rss", sa.BigInteger(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_job_attempt_job_id")),
        sa.PrimaryKeyConstraint("job_id", "fence", name=op.f("pk_job_attempt")),
    )


def downgrade() -> None:
    op.drop_table("job_attempt")
