"""Older matrix versions that reads asked for, so that a worker fits them again."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008_fit_request"
down_revision = "0007_fit_analysis"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fit_request",
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("matrix_version", sa.Integer(), nullable=False),
        sa.Column("asked_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_fit_request_matrix_id")),
        sa.PrimaryKeyConstraint("matrix_id", "matrix_version", name=op.f("pk_fit_request")),
    )


def downgrade() -> None:
    op.drop_table("fit_request")
