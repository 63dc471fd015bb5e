"""How many upstream examples something is about, which bounds what may be sent for it."""

from __future__ import annotations

from service.storage import tasks
from service.storage.database import Session
from service.storage.matrices import get_matrix
from service.storage.tables import UpstreamSet


def n_examples_of_matrix(session: Session, matrix_id: str) -> int:
    """N of a matrix. Raises MatrixNotFound."""
    return session.get_one(UpstreamSet, get_matrix(session, matrix_id).upstream_set_id).n_examples or 0


def n_examples_of_task(session: Session, task_id: str) -> int:
    """N of a task's matrix. Raises TaskNotFound."""
    return n_examples_of_matrix(session, tasks.get_task(session, task_id).matrix_id)
