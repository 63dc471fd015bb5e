"""Indexes in which claim and reap find their rows without reading the whole queue."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006_claim_order"
down_revision = "0005_random_positions"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_job_claim", "job")
    op.create_index("ix_job_claim", "job", ["state", sa.text("priority DESC"), "id"])
    op.create_index("ix_job_deadline", "job", ["state", "deadline"])


def downgrade() -> None:
    op.drop_index("ix_job_deadline", "job")
    op.drop_index("ix_job_claim", "job")
    op.create_index("ix_job_claim", "job", ["state", "priority", "id"])
