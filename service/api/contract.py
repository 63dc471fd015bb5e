"""What each operation promises beyond its shapes: the errors it can answer with, its files, what to call next.

A route without an entry here fails a test. Errors that every operation shares are added in openapi.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from forgetcast import errors, schemas
from forgetcast.errors import ForgetcastError
from service.api.media_types import JSON_LINES, NPY, NPZ, PARQUET

EVENT_STREAM = "text/event-stream"
PLAIN = "text/plain"

BODY_ID = "$response.body#/id"


@dataclass(frozen=True)
class Operation:
    """One operation's promises.

    raises: errors of its own; also: further statuses with the same body as the main one; sends and takes: media types
    of files beside or instead of JSON; document: the shape of a JSON body that is read as an upload; location: the
    answer names where to look; next: operation -> parameters by runtime expression; etag: the answer carries one, and
    If-None-Match is answered 304.
    """

    raises: tuple[type[ForgetcastError], ...] = ()
    also: dict[int, str] = field(default_factory=dict)
    sends: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    document: type[schemas.Shape] | None = None
    location: bool = False
    next: dict[str, dict[str, str]] = field(default_factory=dict)
    etag: bool = False


EXISTED = {200: "It existed already, the same"}
SET_UNKNOWN = (errors.UpstreamSetNotFound,)
MATRIX_UNKNOWN = (errors.MatrixNotFound,)
TASK_UNKNOWN = (errors.TaskNotFound,)
JOB_UNKNOWN = (errors.JobNotFound,)
KEY_UNKNOWN = (errors.ApiKeyNotFound,)
READS_FIT = (
    *MATRIX_UNKNOWN,
    errors.MatrixEmpty,
    errors.OutOfRange,
    errors.TooFewRows,
    errors.FitPending,
    errors.FitFailed,
    errors.IncompatibleFit,
)
READS_FORECAST = (
    *TASK_UNKNOWN,
    errors.NotMeasured,
    errors.MatrixEmpty,
    errors.OutOfRange,
    errors.FitPending,
    errors.FitFailed,
    errors.IncompatibleFit,
)
DRAWS_REPLAY = (*READS_FORECAST, errors.UnknownMethod, errors.TooManyExamplesAsked, errors.TextsMissing)
ORDERS_JOB = (
    errors.UnknownReference,
    errors.TextsMissing,
    errors.TooManyExamplesAsked,
    errors.TooManyJobs,
)
FROM_JOB = {"read_job": {"job_id": BODY_ID}, "list_events": {"job_id": BODY_ID}, "cancel_job": {"job_id": BODY_ID}}
OF_MATRIX = {"matrix_id": BODY_ID}
OF_TASK = {"task_id": BODY_ID}
OF_KEY = {"key_id": BODY_ID}

OPERATIONS: dict[str, Operation] = {
    # upstream sets
    "create_upstream_set": Operation(
        raises=(errors.IdInUse,),
        also=EXISTED,
        location=True,
        next={name: {"set_id": BODY_ID} for name in ("read_upstream_set", "list_examples", "put_examples")},
    ),
    "put_examples": Operation(raises=(*SET_UNKNOWN, errors.UpstreamSetSealed), takes=(JSON_LINES, PARQUET)),
    "read_upstream_set": Operation(raises=SET_UNKNOWN),
    "list_examples": Operation(raises=SET_UNKNOWN),
    # matrices and their rows
    "create_matrix": Operation(
        raises=(errors.UnknownReference, errors.UpstreamSetOpen, errors.IdInUse, errors.ModelsUnreadable),
        also=EXISTED,
        location=True,
        next={name: OF_MATRIX for name in ("read_matrix", "read_backtest", "read_analysis", "read_probe_set")},
    ),
    "list_matrices": Operation(),
    "read_matrix": Operation(raises=MATRIX_UNKNOWN),
    "read_backtest": Operation(raises=READS_FIT),
    "read_analysis": Operation(raises=READS_FIT),
    "read_probe_set": Operation(raises=(*READS_FIT, errors.TooManyExamplesAsked)),
    "put_row": Operation(
        raises=(
            *MATRIX_UNKNOWN,
            errors.TaskExists,
            errors.RecipeMismatch,
            errors.UnknownReference,
            errors.WrongShape,
            errors.NotFinite,
            errors.BeyondBelief,
            errors.WrongRepeat,
            errors.NothingObserved,
            errors.RepeatedExample,
        ),
        also={200: "The row was known; it is the same, or superseded"},
        takes=(NPY, JSON_LINES, PARQUET),
        location=True,
        next={
            "read_row": {"matrix_id": "$request.path.matrix_id", "task_id": BODY_ID},
            "read_task": OF_TASK,
        },
    ),
    "import_rows": Operation(
        raises=(
            errors.UnknownReference,
            errors.ModelsUnreadable,
            errors.IdInUse,
            errors.UnreadableMatrix,
            errors.TaskExists,
            errors.WrongShape,
            errors.WrongKind,
            errors.NotFinite,
            errors.BeyondBelief,
            errors.WrongRepeat,
            errors.NothingObserved,
            errors.RepeatedTask,
            errors.RepeatedExample,
        ),
        takes=(NPZ,),
        next={"read_matrix": {"matrix_id": "$request.path.matrix_id"}},
    ),
    "read_row": Operation(raises=(*MATRIX_UNKNOWN, errors.RowNotFound), sends=(NPY,), etag=True),
    "delete_row": Operation(raises=(*MATRIX_UNKNOWN, errors.RowNotFound, errors.VersionChanged)),
    "export_npy": Operation(raises=MATRIX_UNKNOWN, sends=(NPY,), etag=True),
    "export_parquet": Operation(raises=MATRIX_UNKNOWN, sends=(PARQUET,), etag=True),
    # data sets and tasks
    "put_dataset": Operation(
        raises=(errors.Sha256Mismatch, errors.BadDataset),
        also={200: "It was stored already"},
        takes=(JSON_LINES, PARQUET),
    ),
    "register_task": Operation(
        raises=(errors.TaskExists, errors.WrongRepeat, *ORDERS_JOB),
        also={200: "It existed already, the same; no job was made", 201: "Registered; no job was made"},
        location=True,
        next={
            **{name: OF_TASK for name in ("read_task", "create_job", "read_forecast", "read_forgotten")},
            "read_job": {"job_id": "$response.body#/job"},
        },
    ),
    "list_tasks": Operation(),
    "read_task": Operation(raises=TASK_UNKNOWN),
    "create_job": Operation(raises=(*TASK_UNKNOWN, errors.JobActive, *ORDERS_JOB), location=True, next=FROM_JOB),
    "create_measurements": Operation(
        raises=(
            *TASK_UNKNOWN,
            errors.RowKnown,
            errors.RecipeMismatch,
            errors.JobActive,
            errors.UnknownReference,
            errors.RepeatedExample,
            errors.BeyondBelief,
        ),
        document=schemas.MeasurementsCreate,
        next={"read_forgotten": {"task_id": "$request.path.task_id"}},
    ),
    # jobs
    "read_job": Operation(raises=JOB_UNKNOWN, next={"list_events": {"job_id": BODY_ID}}),
    "list_events": Operation(raises=JOB_UNKNOWN, sends=(EVENT_STREAM,)),
    "cancel_job": Operation(
        raises=(*JOB_UNKNOWN, errors.JobEnded), location=True, next={"read_job": {"job_id": BODY_ID}}
    ),
    # forecasts and replay sets
    "read_forecast": Operation(raises=READS_FORECAST, etag=True),
    "read_forgotten": Operation(raises=READS_FORECAST, etag=True),
    "read_row_npy": Operation(raises=READS_FORECAST, sends=(NPY,), etag=True),
    "read_row_parquet": Operation(raises=READS_FORECAST, sends=(PARQUET,), etag=True),
    "read_row_json_lines": Operation(raises=READS_FORECAST, sends=(JSON_LINES,), etag=True),
    "read_replay_set": Operation(raises=DRAWS_REPLAY, etag=True),
    "read_replay_set_json_lines": Operation(raises=DRAWS_REPLAY, sends=(JSON_LINES,), etag=True),
    "read_replay_set_parquet": Operation(raises=DRAWS_REPLAY, sends=(PARQUET,), etag=True),
    # the gate
    "create_gate": Operation(
        raises=(*READS_FORECAST, errors.UnknownReference),
        location=True,
        next={"read_gate": {"gate_id": BODY_ID}, "create_release": {"task_id": "$request.path.task_id"}},
    ),
    "list_gates": Operation(),
    "read_gate": Operation(raises=(errors.GateNotFound,)),
    "create_release": Operation(
        raises=(*TASK_UNKNOWN, errors.UnknownReference),
        location=True,
        next={"read_task": {"task_id": "$request.path.task_id"}},
    ),
    # keys
    "create_api_key": Operation(
        location=True, next={name: OF_KEY for name in ("read_api_key", "rotate_api_key", "revoke_api_key")}
    ),
    "list_api_keys": Operation(),
    "read_api_key": Operation(raises=KEY_UNKNOWN),
    "rotate_api_key": Operation(
        raises=(*KEY_UNKNOWN, errors.ApiKeyEnded), location=True, next={"read_api_key": OF_KEY}
    ),
    "revoke_api_key": Operation(raises=KEY_UNKNOWN),
    "list_audit": Operation(),
    "read_caller": Operation(),
    # operation
    "list_models": Operation(raises=(errors.ModelsUnreadable,)),
    "list_workers": Operation(),
    "read_queue": Operation(),
    "read_health": Operation(),
    "read_readiness": Operation(),
    "read_metrics": Operation(sends=(PLAIN,)),
}
