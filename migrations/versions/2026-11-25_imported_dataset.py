"""The sha256 of the fine-tuning data of imported rows, which this service does not have, beside the task."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009_imported_dataset"
down_revision = "0008_fit_request"
branch_labels = None
depends_on = None

# Until now it was kept in words only, with the measurement that brought it.
KEPT_IN_WORDS = """
    UPDATE task SET imported_dataset = (
        SELECT substr(source, 20) FROM measurement
        WHERE measurement.task_id = task.id AND source LIKE 'imported, data set %'
        ORDER BY row_version DESC LIMIT 1
    )
"""


def upgrade() -> None:
    op.add_column("task", sa.Column("imported_dataset", sa.String(length=64), nullable=True))
    op.execute(sa.text(KEPT_IN_WORDS))


def downgrade() -> None:
    op.drop_column("task", "imported_dataset")
