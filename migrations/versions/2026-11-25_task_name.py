"""What people call a task: the name of the file that its data came from."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0017_task_name"
down_revision = "0016_drawn_errors"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("task", sa.Column("name", sa.String(length=256), nullable=True))


def downgrade() -> None:
    op.drop_column("task", "name")
