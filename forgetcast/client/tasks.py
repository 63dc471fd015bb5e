"""`client.tasks`: register tasks, find them, and ask about one by its id."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import Literal

from forgetcast.client.connection import Connection, Content, made
from forgetcast.client.datasets import Datasets
from forgetcast.client.jobs import Jobs
from forgetcast.client.matrices import Matrices
from forgetcast.client.task_handle import TaskHandle
from forgetcast.client.task_requests import TaskRequests, task_path
from forgetcast.schemas import Design, Task, TaskCreate

LONGEST_NAME = 256


class Tasks(TaskRequests):
    """`client.tasks`."""

    def __init__(self, connection: Connection, datasets: Datasets, jobs: Jobs, matrices: Matrices) -> None:
        super().__init__(connection)
        self._datasets = datasets
        self._jobs = jobs
        self._matrices = matrices

    def create(
        self,
        dataset: Content | None = None,
        *,
        matrix: str,
        id: str | None = None,
        name: str | None = None,
        measure: Literal["probe", "full", "none"] | None = None,
        design: Design = Design.MIXED,
        size: int = 30,
        probe_seed: int = 0,
        seed: int = 1,
        family: str | None = None,
        n_examples: int | None = None,
        repeat_of: str | None = None,
        priority: int = 0,
        hardware: str = "any",
        deadline: datetime | None = None,
    ) -> TaskHandle:
        """Register a task; its data set is uploaded, then `size` upstream examples are measured after fine-tuning.

        `dataset`: a path, or the bytes of one; `name` is that of the file where nothing else is given. What was ordered
        before is not measured again: `existed` of the handle says so. Without a data set nothing is measured until you
        post measurements.
        """
        wanted = made(
            TaskCreate,
            id=id,
            name=_name(dataset) if name is None else name,
            matrix=matrix,
            dataset=None if dataset is None else self._datasets.upload(dataset),
            measure=measure or ("none" if dataset is None else "probe"),
            design=design,
            size=size,
            probe_seed=probe_seed,
            seed=seed,
            family=family,
            n_examples=n_examples,
            repeat_of=repeat_of,
            priority=priority,
            hardware=hardware,
            deadline=deadline,
        )
        answer = self._connection.request("POST", "/v1/tasks", json=wanted.model_dump(mode="json"))
        task = self._connection.shape(Task, answer)
        return self._handle(task, existed=answer.status_code == HTTPStatus.OK)

    def get(self, task_id: str) -> TaskHandle:
        task = self._connection.read(Task, "GET", task_path(task_id))
        return self._handle(task, existed=True)

    def list(self, *, matrix: str | None = None) -> Iterator[Task]:
        return self._connection.pages(Task, "/v1/tasks", {"matrix": matrix})

    def _handle(self, task: Task, *, existed: bool) -> TaskHandle:
        return TaskHandle(self, self._jobs, self._matrices, task, existed=existed)


def _name(dataset: Content | None) -> str | None:
    """What the file is called, where that can stand in a table."""
    if dataset is None or isinstance(dataset, bytes):
        return None
    name = Path(dataset).name
    return name if name.isprintable() and 0 < len(name) <= LONGEST_NAME else None
