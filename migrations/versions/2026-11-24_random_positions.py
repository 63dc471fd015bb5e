"""Which probes were drawn at random, cell by cell, and what their design rests on."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005_random_positions"
down_revision = "0004_keys"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("measurement", "job"):
        op.add_column(table, sa.Column("random_positions", sa.LargeBinary(), nullable=True))
        # Until now all probes of a measurement were drawn at random, or none.
        op.execute(sa.text(f"UPDATE {table} SET random_positions = positions WHERE at_random"))  # noqa: S608
        op.drop_column(table, "at_random")
    op.add_column("job", sa.Column("design", sa.String(length=16), nullable=True))
    op.add_column("job", sa.Column("designed_from", sa.Integer(), nullable=True))
    op.add_column("task", sa.Column("designed_from", sa.Integer(), nullable=True))
    op.execute(sa.text("UPDATE job SET design = 'random' WHERE measure = 'probe'"))


def downgrade() -> None:
    op.drop_column("task", "designed_from")
    op.drop_column("job", "designed_from")
    op.drop_column("job", "design")
    for table in ("measurement", "job"):
        op.add_column(table, sa.Column("at_random", sa.Boolean(), nullable=False, server_default=sa.false()))
        op.execute(
            sa.text(f"UPDATE {table} SET at_random = true WHERE random_positions = positions")  # noqa: S608
        )
        op.drop_column(table, "random_positions")
