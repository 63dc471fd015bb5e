"""How metrics of drawn rows err, beside the back-test that learned it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0016_drawn_errors"
down_revision = "0015_gate"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fit", sa.Column("drawn_errors", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("fit", "drawn_errors")
