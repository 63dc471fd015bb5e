"""Rows that a job needs around it: an upstream set with texts, a matrix, a data set, tasks."""

from __future__ import annotations

import io

from sqlalchemy.orm import Session

from service.storage.blobs import put_blob
from service.storage.ids import new_id
from service.storage.jobs import insert_job
from service.storage.tables import Dataset, Job, Matrix, Task, UpstreamExample, UpstreamSet

N_EXAMPLES = 3
DATASET = b'{"text": "alpha"}\n'


def add_task(session: Session) -> Task:
    """A new task of the one matrix, which is made when absent."""
    if session.get(Matrix, "m") is None:
        _add_matrix(session)
    task = Task(
        id=new_id("task"),
        matrix_id="m",
        dataset_sha256=put_blob(session, io.BytesIO(DATASET)),
        measure="full",
        seed=1,
    )
    session.add(task)
    session.flush()
    return task


def add_job(
    session: Session,
    *,
    hardware: str = "any",
    priority: int = 0,
    deadline: float | None = None,
    submitted_by: str | None = None,
) -> Job:
    """A queued job that measures a new task in full."""
    return insert_job(
        session,
        task_id=add_task(session).id,
        measure="full",
        positions=None,
        hardware=hardware,
        priority=priority,
        deadline=deadline,
        submitted_by=submitted_by,
    )


def _add_matrix(session: Session) -> None:
    session.add(
        UpstreamSet(
            id="u", sha256="0" * 64, n_examples=N_EXAMPLES, n_held_out=0, has_texts=True, domains={"": N_EXAMPLES}
        )
    )
    session.flush()
    for position in range(N_EXAMPLES):
        example = UpstreamExample(
            set_id="u",
            position=position,
            example_id=f"e{position}",
            domain="",
            tags=[],
            held_out=False,
            content={"text": f"example {position}"},
        )
        session.add(example)
    session.add(Matrix(id="m", upstream_set_id="u", model="tiny", model_revision="r", recipe={}, setting={}))
    sha256 = put_blob(session, io.BytesIO(DATASET))
    session.add(Dataset(sha256=sha256, n_lines=1, n_bytes=len(DATASET)))
    session.flush()
