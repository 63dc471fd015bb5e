"""Verdicts of the gate, released tasks, and which weights were measured."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0015_gate"
down_revision = "0014_lookups"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("measurement", sa.Column("weights_sha256", sa.String(length=64), nullable=True))
    op.create_table(
        "gate",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("finished", sa.Boolean(), nullable=False),
        sa.Column("look", sa.Integer(), nullable=False),
        sa.Column("document", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_gate_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_gate")),
    )
    op.create_index(op.f("ix_gate_task_id_id"), "gate", ["task_id", "id"])
    op.create_table(
        "release",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("weights_sha256", sa.String(length=64), nullable=False),
        sa.Column("gate_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_release_task_id")),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_release_matrix_id")),
        sa.ForeignKeyConstraint(["gate_id"], ["gate.id"], name=op.f("fk_release_gate_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_release")),
    )
    op.create_index(op.f("ix_release_task_id"), "release", ["task_id"])
    op.create_index(op.f("ix_release_matrix_id_id"), "release", ["matrix_id", "id"])
    op.create_index(op.f("ix_release_gate_id"), "release", ["gate_id"])


def downgrade() -> None:
    op.drop_index(op.f("ix_release_gate_id"), table_name="release")
    op.drop_index(op.f("ix_release_matrix_id_id"), table_name="release")
    op.drop_index(op.f("ix_release_task_id"), table_name="release")
    op.drop_table("release")
    op.drop_index(op.f("ix_gate_task_id_id"), table_name="gate")
    op.drop_table("gate")
    op.drop_column("measurement", "weights_sha256")
