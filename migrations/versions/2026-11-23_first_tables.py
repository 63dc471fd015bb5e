"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.String(length=8), nullable=False),
        sa.Column("name", sa.String(length=128), nullable=False),
        sa.Column("secret_sha256", sa.String(length=64), nullable=False),
        sa.Column("scopes", sa.JSON(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("revoked_at", sa.Double(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_api_key")),
    )
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("part", sa.Integer(), nullable=False),
        sa.Column("bytes", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", "part", name=op.f("pk_blob")),
    )
    op.create_table(
        "dataset",
        sa.Column("sha256", sa.String(length=64), nullable=False),
        sa.Column("n_lines", sa.Integer(), nullable=False),
        sa.Column("n_bytes", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("sha256", name=op.f("pk_dataset")),
    )
    op.create_table(
        "upstream_set",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("sha256", sa.String(length=64), nullable=True),
        sa.Column("n_examples", sa.Integer(), nullable=True),
        sa.Column("n_held_out", sa.Integer(), nullable=True),
        sa.Column("has_texts", sa.Boolean(), nullable=True),
        sa.Column("domains", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_upstream_set")),
    )
    op.create_table(
        "base_values",
        sa.Column("upstream_set_id", sa.String(length=128), nullable=False),
        sa.Column("model_revision", sa.String(length=64), nullable=False),
        sa.Column("setting_sha256", sa.String(length=64), nullable=False),
        sa.Column("log_perplexity", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(["upstream_set_id"], ["upstream_set.id"], name=op.f("fk_base_values_upstream_set_id")),
        sa.PrimaryKeyConstraint("upstream_set_id", "model_revision", "setting_sha256", name=op.f("pk_base_values")),
    )
    op.create_table(
        "matrix",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("upstream_set_id", sa.String(length=128), nullable=False),
        sa.Column("model", sa.String(length=128), nullable=False),
        sa.Column("model_revision", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("setting", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("changed_at", sa.Double(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["upstream_set_id"], ["upstream_set.id"], name=op.f("fk_matrix_upstream_set_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_matrix")),
    )
    op.create_table(
        "upstream_example",
        sa.Column("set_id", sa.String(length=128), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("example_id", sa.String(length=512), nullable=False),
        sa.Column("domain", sa.String(length=128), nullable=False),
        sa.Column("tags", sa.JSON(), nullable=False),
        sa.Column("held_out", sa.Boolean(), nullable=False),
        sa.Column("content", sa.JSON(none_as_null=True), nullable=True),
        sa.ForeignKeyConstraint(["set_id"], ["upstream_set.id"], name=op.f("fk_upstream_example_set_id")),
        sa.PrimaryKeyConstraint("set_id", "position", name=op.f("pk_upstream_example")),
        sa.UniqueConstraint("set_id", "example_id", name=op.f("uq_upstream_example_set_id_example_id")),
    )
    op.create_table(
        "fit",
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("matrix_version", sa.Integer(), nullable=False),
        sa.Column("model_version", sa.Integer(), nullable=False),
        sa.Column("arrays_sha256", sa.String(length=64), nullable=False),
        sa.Column("tested", sa.Boolean(), nullable=False),
        sa.Column("quality", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("backtest", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_fit_matrix_id")),
        sa.PrimaryKeyConstraint("matrix_id", "matrix_version", "model_version", name=op.f("pk_fit")),
    )
    op.create_table(
        "task",
        sa.Column("id", sa.String(length=128), nullable=False),
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("dataset_sha256", sa.String(length=64), nullable=True),
        sa.Column("measure", sa.String(length=16), nullable=False),
        sa.Column("design", sa.String(length=16), nullable=True),
        sa.Column("size", sa.Integer(), nullable=True),
        sa.Column("probe_seed", sa.Integer(), nullable=True),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("family", sa.String(length=128), nullable=True),
        sa.Column("n_examples", sa.Integer(), nullable=True),
        sa.Column("repeat_of", sa.String(length=128), nullable=True),
        sa.Column("natural_key", sa.String(length=64), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("n_measured", sa.Integer(), nullable=False),
        sa.Column("known", sa.Boolean(), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["dataset_sha256"], ["dataset.sha256"], name=op.f("fk_task_dataset_sha256")),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_task_matrix_id")),
        sa.ForeignKeyConstraint(["repeat_of"], ["task.id"], name=op.f("fk_task_repeat_of")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_task")),
    )
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_task_matrix_id"), ["matrix_id"], unique=False)
        batch_op.create_index(batch_op.f("ix_task_matrix_id_natural_key"), ["matrix_id", "natural_key"], unique=False)

    op.create_table(
        "job",
        sa.Column("id", sa.String(length=64), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("measure", sa.String(length=16), nullable=False),
        sa.Column("positions", sa.LargeBinary(), nullable=True),
        sa.Column("at_random", sa.Boolean(), nullable=False),
        sa.Column("hardware", sa.String(length=128), nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("deadline", sa.Double(), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("max_attempts", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("lease_owner", sa.String(length=128), nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("heartbeat_at", sa.Double(), nullable=True),
        sa.Column("cancel_requested_at", sa.Double(), nullable=True),
        sa.Column("not_before", sa.Double(), nullable=False),
        sa.Column("progress", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("error", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("started_at", sa.Double(), nullable=True),
        sa.Column("finished_at", sa.Double(), nullable=True),
        sa.CheckConstraint("(state = 'running') = (lease_owner IS NOT NULL)", name=op.f("ck_job_running_has_owner")),
        sa.CheckConstraint(
            "state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name=op.f("ck_job_state")
        ),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_job_task_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_job")),
    )
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.create_index("ix_job_claim", ["state", "priority", "id"], unique=False)
        batch_op.create_index(batch_op.f("ix_job_task_id"), ["task_id"], unique=False)
        batch_op.create_index(
            "uq_job_active",
            ["task_id"],
            unique=True,
            sqlite_where=sa.text("state IN ('queued', 'running')"),
            postgresql_where=sa.text("state IN ('queued', 'running')"),
        )

    op.create_table(
        "known_row",
        sa.Column("matrix_id", sa.String(length=128), nullable=False),
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("since", sa.Integer(), nullable=False),
        sa.Column("until", sa.Integer(), nullable=True),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["matrix_id"], ["matrix.id"], name=op.f("fk_known_row_matrix_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_known_row_task_id")),
        sa.PrimaryKeyConstraint("matrix_id", "task_id", "since", name=op.f("pk_known_row")),
    )
    op.create_table(
        "event",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=False),
        sa.Column("type", sa.String(length=16), nullable=False),
        sa.Column("level", sa.String(length=8), nullable=False),
        sa.Column("message", sa.String(), nullable=False),
        sa.Column("data", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_event_job_id")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_event")),
    )
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.create_index(batch_op.f("ix_event_job_id"), ["job_id"], unique=False)

    op.create_table(
        "measurement",
        sa.Column("task_id", sa.String(length=128), nullable=False),
        sa.Column("row_version", sa.Integer(), nullable=False),
        sa.Column("positions", sa.LargeBinary(), nullable=True),
        sa.Column("forgetting", sa.LargeBinary(), nullable=False),
        sa.Column("at_random", sa.Boolean(), nullable=False),
        sa.Column("model_revision", sa.String(length=64), nullable=False),
        sa.Column("recipe", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("setting", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("seed", sa.Integer(), nullable=False),
        sa.Column("source", sa.String(length=512), nullable=False),
        sa.Column("job_id", sa.String(length=64), nullable=True),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["job.id"], name=op.f("fk_measurement_job_id")),
        sa.ForeignKeyConstraint(["task_id"], ["task.id"], name=op.f("fk_measurement_task_id")),
        sa.PrimaryKeyConstraint("task_id", "row_version", name=op.f("pk_measurement")),
    )


def downgrade() -> None:
    op.drop_table("measurement")
    with op.batch_alter_table("event", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_event_job_id"))

    op.drop_table("event")
    op.drop_table("known_row")
    with op.batch_alter_table("job", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_job_active",
            sqlite_where=sa.text("state IN ('queued', 'running')"),
            postgresql_where=sa.text("state IN ('queued', 'running')"),
        )
        batch_op.drop_index(batch_op.f("ix_job_task_id"))
        batch_op.drop_index("ix_job_claim")

    op.drop_table("job")
    with op.batch_alter_table("task", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_task_matrix_id_natural_key"))
        batch_op.drop_index(batch_op.f("ix_task_matrix_id"))

    op.drop_table("task")
    op.drop_table("fit")
    op.drop_table("upstream_example")
    op.drop_table("matrix")
    op.drop_table("base_values")
    op.drop_table("upstream_set")
    op.drop_table("dataset")
    op.drop_table("blob")
    op.drop_table("api_key")
