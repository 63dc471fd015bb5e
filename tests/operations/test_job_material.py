"""What a worker is given for a job, after what earlier jobs of its task have measured."""

from __future__ import annotations

from datetime import timedelta
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from service.operations.job_material import N_CONTROL, read_job_material, store_result
from service.storage import jobs
from service.storage.attempts import ChildEnd
from service.storage.database import Database
from service.storage.tables import Task
from tests.storage.rows import N_EXAMPLES, add_job


class Result(NamedTuple):
    before: NDArray[np.float32]
    after: NDArray[np.float32]
    report: dict[str, object]


def measured_task(database: Database) -> str:
    """A task that a worker has measured in full: 0.5, 1.5, 2.5 nats."""
    before = np.ones(N_EXAMPLES, np.float32)
    after = np.arange(N_EXAMPLES, dtype=np.float32) + np.float32(1.5)
    with database.transaction() as session:
        add_job(session)
        claimed = jobs.claim(session, "worker", ["any"], timedelta(minutes=1))
        assert claimed is not None
        assert store_result(session, claimed.job_id, claimed.fence, Result(before, after, {}), ChildEnd(0))
    return claimed.task_id


def test_the_first_job_of_a_task_has_no_control(database: Database) -> None:
    with database.transaction() as session:
        assert read_job_material(session, add_job(session).id).control == ()


def test_a_further_job_is_given_cells_that_were_measured_before(database: Database) -> None:
    task_id = measured_task(database)
    with database.transaction() as session:
        job = jobs.insert_job(session, task_id=task_id, measure="examples", positions=np.array([1], "<i4").tobytes())
        material = read_job_material(session, job.id)
        assert session.get_one(Task, task_id).row_version == 1
    assert [cell.example["text"] for cell in material.control] == [f"example {n}" for n in range(N_CONTROL)]
    assert [cell.forgetting for cell in material.control] == [0.5, 1.5, 2.5]
    assert [cell.before for cell in material.control] == [1.0] * N_CONTROL
