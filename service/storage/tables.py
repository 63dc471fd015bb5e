"""Mapped classes. Times are seconds since 1970 on the database's clock; arrays are little-endian bytes.

    upstream_set --< upstream_example          matrix --< task --< measurement
                                                 |         |
                                                 |         |--< gate, release
    blob (data sets, fits)              fit, fit_work     job --< event, job_attempt, job_share        worker

Rows of the matrix are superseded, never overwritten: `known_row` says from which matrix version until which a task's
row, at which row version, was known.
"""

from __future__ import annotations

from typing import Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from service.storage.database import now

NAMING = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s",
    "pk": "pk_%(table_name)s",
}

QUEUED = "state = 'queued'"


def _partial(condition: str) -> dict[str, Any]:
    """An index of those rows alone, for queries that say the same in these words."""
    return {"sqlite_where": sa.text(condition), "postgresql_where": sa.text(condition)}


class Table(DeclarativeBase):
    metadata = sa.MetaData(naming_convention=NAMING)
    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: sa.JSON(none_as_null=True),
        list[str]: sa.JSON,
        float: sa.Double,
        bytes: sa.LargeBinary,
    }


class Blob(Table):
    """Bytes by content, in parts of 4 MiB."""

    __tablename__ = "blob"
    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    part: Mapped[int] = mapped_column(primary_key=True)
    bytes_: Mapped[bytes] = mapped_column("bytes")


class Dataset(Table):
    """Fine-tuning data; its lines are the blob of the same sha256."""

    __tablename__ = "dataset"
    sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    n_lines: Mapped[int]
    n_bytes: Mapped[int]
    read_as: Mapped[dict[str, Any] | None]  # schemas.ReadAs; null when it was stored before layouts had names
    created_at: Mapped[float] = mapped_column(default=now())


class UpstreamSet(Table):
    __tablename__ = "upstream_set"
    id: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    sha256: Mapped[str | None] = mapped_column(sa.String(64))
    n_examples: Mapped[int | None]
    n_held_out: Mapped[int | None]
    has_texts: Mapped[bool | None]
    domains: Mapped[dict[str, Any]] = mapped_column(default=dict)
    created_at: Mapped[float] = mapped_column(default=now())


class UpstreamExample(Table):
    """One line of a sealed set. `content` is {"text"} or {"messages"}, or null where the text stays with the user."""

    __tablename__ = "upstream_example"
    set_id: Mapped[str] = mapped_column(sa.ForeignKey("upstream_set.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    example_id: Mapped[str] = mapped_column(sa.String(512))
    domain: Mapped[str] = mapped_column(sa.String(128))
    tags: Mapped[list[str]]
    held_out: Mapped[bool]
    content: Mapped[dict[str, Any] | None]
    __table_args__ = (sa.UniqueConstraint("set_id", "example_id"),)


class Matrix(Table):
    __tablename__ = "matrix"
    id: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    upstream_set_id: Mapped[str] = mapped_column(sa.ForeignKey("upstream_set.id"), index=True)
    model: Mapped[str] = mapped_column(sa.String(128))
    model_revision: Mapped[str] = mapped_column(sa.String(64))
    recipe: Mapped[dict[str, Any]]
    setting: Mapped[dict[str, Any]]
    version: Mapped[int] = mapped_column(default=0)
    changed_at: Mapped[float] = mapped_column(default=now())  # of its known rows
    created_at: Mapped[float] = mapped_column(default=now())


class Fit(Table):
    """Factors, back-test and analysis of one matrix version, made between jobs; the arrays are an npz blob."""

    __tablename__ = "fit"
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"), primary_key=True)
    matrix_version: Mapped[int] = mapped_column(primary_key=True)
    model_version: Mapped[int] = mapped_column(primary_key=True)
    arrays_sha256: Mapped[str] = mapped_column(sa.String(64))
    unmeasurable: Mapped[bytes | None]  # int32, positions of examples that no worker can measure; null for none
    tested: Mapped[bool] = mapped_column(default=False)
    quality: Mapped[dict[str, Any] | None]
    backtest: Mapped[dict[str, Any] | None] = mapped_column(deferred=True)  # long, and no forecast needs it
    analysis: Mapped[dict[str, Any] | None]
    drawn_errors: Mapped[dict[str, Any] | None]  # how metrics of drawn rows err, for the gate
    created_at: Mapped[float] = mapped_column(default=now())

    @property
    def n_unmeasurable(self) -> int:
        return len(self.unmeasurable or b"") // 4


class FitRequest(Table):
    """An older matrix version that a read asked for with `as_of`."""

    __tablename__ = "fit_request"
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"), primary_key=True)
    matrix_version: Mapped[int] = mapped_column(primary_key=True)
    asked_at: Mapped[float]


class FitWork(Table):
    """Work at the fit, or the back-test, of one matrix version: who is at it, how it failed; no row when it is done."""

    __tablename__ = "fit_work"
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"), primary_key=True)
    matrix_version: Mapped[int] = mapped_column(primary_key=True)
    model_version: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.String(16), primary_key=True)
    token: Mapped[str | None] = mapped_column(sa.String(128))  # of the claim that is at it
    lease_until: Mapped[float | None]
    n_failed: Mapped[int] = mapped_column(default=0)
    error: Mapped[dict[str, Any] | None]  # of the last attempt
    not_before: Mapped[float] = mapped_column(default=0.0)


class Task(Table):
    __tablename__ = "task"
    id: Mapped[str] = mapped_column(sa.String(128), primary_key=True)
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"))
    dataset_sha256: Mapped[str | None] = mapped_column(sa.ForeignKey("dataset.sha256"))
    imported_dataset: Mapped[str | None] = mapped_column(sa.String(64))  # sha256 of data that are elsewhere
    read_as: Mapped[dict[str, Any] | None]  # of its data set
    measure: Mapped[str] = mapped_column(sa.String(16))
    design: Mapped[str | None] = mapped_column(sa.String(16))
    size: Mapped[int | None]
    probe_seed: Mapped[int | None]
    designed_from: Mapped[int | None]  # matrix version whose fit chose the probes; null when all were drawn at random
    seed: Mapped[int]
    family: Mapped[str | None] = mapped_column(sa.String(128))
    n_examples: Mapped[int | None]
    repeat_of: Mapped[str | None] = mapped_column(sa.ForeignKey("task.id"))
    natural_key: Mapped[str | None] = mapped_column(sa.String(64))
    name: Mapped[str | None] = mapped_column(sa.String(256))  # for people; no part of what a task is
    row_version: Mapped[int] = mapped_column(default=0)
    n_measured: Mapped[int] = mapped_column(default=0)
    known: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[float] = mapped_column(default=now())
    __table_args__ = (
        sa.Index(None, "matrix_id", "natural_key"),
        sa.Index(None, "matrix_id", "id"),  # a list of a matrix's tasks, in order
        sa.Index(None, "dataset_sha256", **_partial("dataset_sha256 IS NOT NULL")),
        sa.Index(None, "repeat_of", **_partial("repeat_of IS NOT NULL")),
    )


class Measurement(Table):
    """Cells measured together. `positions` is int32, null for all N in order; `forgetting` float32, as many.

    `random_positions` (int32, null for none): those of them that were drawn at random.
    """

    __tablename__ = "measurement"
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"), primary_key=True)
    row_version: Mapped[int] = mapped_column(primary_key=True)
    positions: Mapped[bytes | None]
    forgetting: Mapped[bytes]
    random_positions: Mapped[bytes | None]
    model_revision: Mapped[str] = mapped_column(sa.String(64))
    recipe: Mapped[dict[str, Any]]
    setting: Mapped[dict[str, Any]]
    seed: Mapped[int]
    source: Mapped[str] = mapped_column(sa.String(512))
    weights_sha256: Mapped[str | None] = mapped_column(sa.String(64))  # of the candidate that was measured
    job_id: Mapped[str | None] = mapped_column(sa.ForeignKey("job.id"))
    created_at: Mapped[float] = mapped_column(default=now())
    __table_args__ = (sa.Index(None, "job_id", **_partial("job_id IS NOT NULL")),)


class Gate(Table):
    """A verdict. `look` counts row versions of the task that a verdict on a forecast has been given on."""

    __tablename__ = "gate"
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"))
    row_version: Mapped[int]
    finished: Mapped[bool]  # every cell was measured: no look
    look: Mapped[int]
    document: Mapped[dict[str, Any]]  # schemas.Gate without what stands beside it
    created_at: Mapped[float] = mapped_column(default=now())
    __table_args__ = (sa.Index(None, "task_id", "id"),)


class Release(Table):
    """A task whose model was released: the newest of a matrix is its baseline."""

    __tablename__ = "release"
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"), index=True)
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"))
    weights_sha256: Mapped[str] = mapped_column(sa.String(64))
    gate_id: Mapped[str | None] = mapped_column(sa.ForeignKey("gate.id"), index=True)
    created_at: Mapped[float] = mapped_column(default=now())
    __table_args__ = (sa.Index(None, "matrix_id", "id"),)


class KnownRow(Table):
    """A task's row as the matrix knew it from `since` (a matrix version) up to, not including, `until`."""

    __tablename__ = "known_row"
    matrix_id: Mapped[str] = mapped_column(sa.ForeignKey("matrix.id"), primary_key=True)
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"), primary_key=True, index=True)
    since: Mapped[int] = mapped_column(primary_key=True)
    until: Mapped[int | None]
    row_version: Mapped[int]


class BaseValues(Table):
    """Log-perplexity before fine-tuning, float32 (N,): NaN where not measured yet, infinite where nothing is scored."""

    __tablename__ = "base_values"
    upstream_set_id: Mapped[str] = mapped_column(sa.ForeignKey("upstream_set.id"), primary_key=True)
    model_revision: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    setting_sha256: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    log_perplexity: Mapped[bytes]


class Job(Table):
    """One order to a worker. `fence` rises with every claim and reap; a write with an older fence changes nothing."""

    __tablename__ = "job"
    id: Mapped[str] = mapped_column(sa.String(64), primary_key=True)
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"))
    measure: Mapped[str] = mapped_column(sa.String(16))
    positions: Mapped[bytes | None]  # int32, the upstream examples to measure; null for all
    random_positions: Mapped[bytes | None]  # int32, those of them that were drawn at random; null for none
    design: Mapped[str | None] = mapped_column(sa.String(16))  # of the probes; null when none were chosen
    designed_from: Mapped[int | None]  # matrix version whose fit chose probes
    hardware: Mapped[str] = mapped_column(sa.String(128))
    priority: Mapped[int]
    deadline: Mapped[float | None]
    state: Mapped[str] = mapped_column(sa.String(16), default="queued")
    attempt: Mapped[int] = mapped_column(default=0)
    max_attempts: Mapped[int] = mapped_column(default=3)
    fence: Mapped[int] = mapped_column(sa.BigInteger, default=0)
    lease_owner: Mapped[str | None] = mapped_column(sa.String(128))
    lease_until: Mapped[float | None]
    heartbeat_at: Mapped[float | None]
    cancel_requested_at: Mapped[float | None]
    not_before: Mapped[float] = mapped_column(default=0.0)
    progress: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    submitted_by: Mapped[str | None] = mapped_column(sa.String(8))  # id of the API key
    report: Mapped[dict[str, Any] | None]  # of the attempt that succeeded: seconds, device, versions, losses
    created_at: Mapped[float] = mapped_column(default=now())
    started_at: Mapped[float | None]
    finished_at: Mapped[float | None]
    __table_args__ = (
        sa.CheckConstraint("(state = 'running') = (lease_owner IS NOT NULL)", name="running_has_owner"),
        sa.CheckConstraint("state IN ('queued', 'running', 'succeeded', 'failed', 'cancelled')", name="state"),
        sa.Index(None, "task_id", "id"),  # the newest of a task
        # What waits and what runs is little beside all that has ended, which none of these holds.
        sa.Index("ix_job_claim", "hardware", sa.text("priority DESC"), "id", **_partial(QUEUED)),  # as jobs are taken
        sa.Index("ix_job_deadline", "deadline", **_partial(f"{QUEUED} AND deadline IS NOT NULL")),
        sa.Index("ix_job_submitted", "submitted_by", **_partial(QUEUED)),
        sa.Index("ix_job_running", "id", **_partial("state = 'running'")),  # not the lease, which each heartbeat moves
        # At most one job of a task is active; two clients that post at once meet here.
        sa.Index("uq_job_active", "task_id", unique=True, **_partial("state IN ('queued', 'running')")),
    )


class JobShare(Table):
    """A task that was ordered the same as another one whose job was at work: it gets that job's cells too."""

    __tablename__ = "job_share"
    task_id: Mapped[str] = mapped_column(sa.ForeignKey("task.id"), primary_key=True)
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("job.id"), index=True)


class JobAttempt(Table):
    """One attempt at a job: which worker ran it under which fence, and how it ended; no outcome while it runs."""

    __tablename__ = "job_attempt"
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("job.id"), primary_key=True)
    fence: Mapped[int] = mapped_column(sa.BigInteger, primary_key=True)
    attempt: Mapped[int]  # one that was given back has the same number as the next
    worker: Mapped[str] = mapped_column(sa.String(128))  # host:pid:id
    gpu: Mapped[str | None] = mapped_column(sa.String(128))
    started_at: Mapped[float] = mapped_column(default=now())
    ended_at: Mapped[float | None]
    outcome: Mapped[str | None] = mapped_column(sa.String(64))  # succeeded, cancelled, given_back, or an error's code
    detail: Mapped[str | None]
    exit_status: Mapped[int | None]  # of the child; negative the signal that ended it
    max_rss: Mapped[int | None] = mapped_column(sa.BigInteger)  # bytes that the child had in memory at most


class Event(Table):
    """What happened to a job, in order; read by lists and by the event stream alike."""

    __tablename__ = "event"
    __table_args__ = (sa.Index("ix_event_order", "job_id", "id"),)
    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    job_id: Mapped[str] = mapped_column(sa.ForeignKey("job.id"))
    type: Mapped[str] = mapped_column(sa.String(16))
    level: Mapped[str] = mapped_column(sa.String(8))
    message: Mapped[str]
    data: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(default=now())


class Worker(Table):
    """A worker that is there: written while it lives, removed when it leaves, forgotten when it is silent for long."""

    __tablename__ = "worker"
    id: Mapped[str] = mapped_column(sa.String(128), primary_key=True)  # as in job.lease_owner
    host: Mapped[str] = mapped_column(sa.String(255))
    hardware: Mapped[list[str]]
    gpu: Mapped[str | None] = mapped_column(sa.String(128))
    version: Mapped[str] = mapped_column(sa.String(64))
    job_id: Mapped[str | None] = mapped_column(sa.String(64))
    started_at: Mapped[float] = mapped_column(default=now())
    seen_at: Mapped[float] = mapped_column(default=now())


class ApiKey(Table):
    """A key is `fck_<id>_<secret>`; only the sha256 of the secret is kept."""

    __tablename__ = "api_key"
    id: Mapped[str] = mapped_column(sa.String(8), primary_key=True)
    name: Mapped[str] = mapped_column(sa.String(128))
    secret_sha256: Mapped[str] = mapped_column(sa.String(64))
    scopes: Mapped[list[str]]
    created_at: Mapped[float] = mapped_column(default=now())
    expires_at: Mapped[float | None]
    revoked_at: Mapped[float | None]


class Audit(Table):
    """What administrators did. Rows are only ever added: triggers refuse to change or delete one."""

    __tablename__ = "audit"
    id: Mapped[int] = mapped_column(sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)
    actor: Mapped[str | None] = mapped_column(sa.String(128))  # id of an API key, or who ran a command; null: no key
    action: Mapped[str] = mapped_column(sa.String(64))
    target: Mapped[str] = mapped_column(sa.String(512))
    detail: Mapped[dict[str, Any]]
    created_at: Mapped[float] = mapped_column(default=now())


class Idempotency(Table):
    """Answers to creating requests by the caller's Idempotency-Key, written with what they created."""

    __tablename__ = "idempotency"
    owner: Mapped[str] = mapped_column(sa.String(8), primary_key=True)  # id of the API key; empty: no key
    key: Mapped[str] = mapped_column(sa.String(255), primary_key=True)
    request_sha256: Mapped[str] = mapped_column(sa.String(64))
    status: Mapped[int]
    headers: Mapped[dict[str, Any]]
    body: Mapped[dict[str, Any] | None]
    created_at: Mapped[float] = mapped_column(default=now(), index=True)


APPEND_ONLY = {
    "sqlite": [
        f"CREATE TRIGGER audit_no_{verb} BEFORE {verb} ON audit "
        f"BEGIN SELECT RAISE(ABORT, 'rows of audit are only ever added'); END"
        for verb in ("update", "delete")
    ],
    "postgresql": [
        "CREATE OR REPLACE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'rows of audit are only ever added'; END $$",
        "CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_append_only()",
    ],
}


@sa.event.listens_for(Audit.__table__, "after_create")
def _make_append_only(_table: sa.Table, connection: sa.Connection, **_options: Any) -> None:
    for statement in APPEND_ONLY[connection.dialect.name]:
        connection.exec_driver_sql(statement)
