"""Which task's model was released: the baseline of those that follow."""

from __future__ import annotations

from forgetcast import schemas
from forgetcast.errors import InvalidRequest
from service.operations.matrices import unknown
from service.storage import gates as storage
from service.storage import tasks as task_storage
from service.storage.database import Session, moment
from service.storage.matrices import get_matrix
from service.storage.tables import UpstreamSet


def release(session: Session, task_id: str, wanted: schemas.ReleaseCreate) -> schemas.Release:
    """Mark a task as released.

    Raises
    ------
    TaskNotFound
    UnknownReference : the verdict that is named is none of this task
    InvalidRequest : its cells, or that verdict, are of other weights
    """
    task = task_storage.get_task(session, task_id, lock=True)
    measured = task_storage.weights_measured(session, task_id, task.row_version)
    if measured - {wanted.weights_sha256, None}:
        raise InvalidRequest(
            f"the cells of the task {task_id!r} were measured on other weights than {wanted.weights_sha256[:12]}"
        )
    if wanted.gate is not None:
        _check_gate(session, task_id, wanted.gate, wanted.weights_sha256)
    kept = storage.add_release(session, task_id, task.matrix_id, wanted.weights_sha256, wanted.gate)
    n_examples = session.get_one(UpstreamSet, get_matrix(session, task.matrix_id).upstream_set_id).n_examples
    warnings = []
    if measured != {wanted.weights_sha256}:
        warnings.append("not_measured: no cell was measured on these weights, so nothing can be compared with them yet")
    elif task.n_measured < (n_examples or 0):
        warnings.append(
            "not_in_full: measure the released weights in full, and differences from them are about a third less "
            "uncertain"
        )
    return schemas.Release(
        task=task_id,
        matrix=task.matrix_id,
        weights_sha256=kept.weights_sha256,
        gate=kept.gate_id,
        released_at=moment(kept.created_at),
        warnings=warnings,
    )


def _check_gate(session: Session, task_id: str, gate_id: str, weights_sha256: str) -> None:
    found = storage.find_gate(session, gate_id)
    if found is None or found.task_id != task_id:
        raise unknown("/gate", f"the task {task_id!r} has no verdict {gate_id!r}")
    if found.document["weights_sha256"] != weights_sha256:
        raise InvalidRequest(f"the verdict {gate_id!r} is about other weights than {weights_sha256[:12]}")
