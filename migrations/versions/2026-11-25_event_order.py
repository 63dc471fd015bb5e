"""An index in which the newest event of a job is one step away, for whoever waits for the next."""

from __future__ import annotations

from alembic import op

revision = "0013_event_order"
down_revision = "0012_read_as"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_event_order", "event", ["job_id", "id"])
    op.drop_index("ix_event_job_id", "event")


def downgrade() -> None:
    op.create_index("ix_event_job_id", "event", ["job_id"])
    op.drop_index("ix_event_order", "event")
