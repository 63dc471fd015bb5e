"""What a data set was read as, and which upstream examples a fit leaves out because nothing of them can be measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0012_read_as"
down_revision = "0011_fit_work"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("dataset", sa.Column("read_as", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("task", sa.Column("read_as", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("fit", sa.Column("unmeasurable", sa.LargeBinary(), nullable=True))


def downgrade() -> None:
    op.drop_column("fit", "unmeasurable")
    op.drop_column("task", "read_as")
    op.drop_column("dataset", "read_as")
