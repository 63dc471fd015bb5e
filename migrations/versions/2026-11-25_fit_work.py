"""Work at fits and back-tests: who is at it, and how it failed, so that one that fails waits and others go on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011_fit_work"
down_revision = "0010_job_share"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fit_work",
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("matrix_version", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("token", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("n_failed", sa.Integer(), nullable=False),
        sa.Column("error", sa.JSON(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_fit_work_matrix_id")),
        sa.PrimaryKeyConstraint("matrix_id", "matrix_version", "model_version", "kind", name=op.f("pk_fit_work")),
    )


def downgrade() -> None:
    op.drop_table("fit_work")
