"""What the known rows of a matrix version look like, kept with its fit."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007_fit_analysis"
down_revision = "0006_claim_order"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("fit", sa.Column("analysis", sa.JSON(none_as_null=True), nullable=True))
    op.execute(sa.text("UPDATE fit SET tested = false"))  # a worker back-tests again and analyses with it


def downgrade() -> None:
    op.drop_column("fit", "analysis")
