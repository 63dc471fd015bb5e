"""Tasks: register, wait for, and read what they will make the model forget."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict, Unpack

from forgetcast.client.connection import Connection, Content, made, segment
from forgetcast.client.datasets import Datasets
from forgetcast.client.extras import extra
from forgetcast.client.jobs import Jobs
from forgetcast.client.matrices import Matrices
from forgetcast.client.replay_sets import ReplayQuery, ReplaySet
from forgetcast.client.task_handle import TaskHandle
from forgetcast.schemas import Design, Forecast, Forgotten, Job, JobCreate, MeasurementsCreate, Task, TaskCreate

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray


class Reading(TypedDict, total=False):
    """How a forecast is read: the intervals' `level`; `as_of` an older matrix version; before anything is measured."""

    level: float | None
    as_of: int | None
    allow_unmeasured: bool | None


class ForgottenQuery(Reading, total=False):
    """Examples of one domain, or with at least `min` nats per token."""

    domain: str | None
    min: float | None


class Tasks:
    """`client.tasks`."""

    def __init__(self, connection: Connection, datasets: Datasets, jobs: Jobs, matrices: Matrices) -> None:
        self._connection = connection
        self._datasets = datasets
        self._jobs = jobs
        self._matrices = matrices

    def _handle(self, task: Task, *, existed: bool) -> TaskHandle:
        return TaskHandle(self, self._jobs, self._matrices, task, existed=existed)

    def create(
        self,
        dataset: Content | None = None,
        *,
        matrix: str,
        id: str | None = None,
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

        `dataset`: a path, or the bytes of one. What was ordered before is not measured again: `existed` of the handle
        says so. Without a data set nothing is measured until you post measurements.
        """
        wanted = made(
            TaskCreate,
            id=id,
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
        task = self._connection.read(Task, "GET", _path(task_id))
        return self._handle(task, existed=True)

    def list(self, *, matrix: str | None = None) -> Iterator[Task]:
        return self._connection.pages(Task, "/v1/tasks", {"matrix": matrix})

    def create_job(self, task_id: str, wanted: JobCreate) -> Job:
        """Order a further measuring of a task."""
        return self._connection.read(Job, "POST", f"{_path(task_id)}/jobs", json=wanted.model_dump(mode="json"))

    def post_measurements(self, task_id: str, measured: MeasurementsCreate) -> Forecast:
        """Add cells that a training run measured itself; the forecast that follows from them."""
        sent = measured.model_dump(mode="json", exclude_none=True)
        return self._connection.read(Forecast, "POST", f"{_path(task_id)}/measurements", json=sent)

    def forecast(self, task_id: str, **reading: Unpack[Reading]) -> Forecast:
        """The task's forecast in short."""
        return self._connection.read(Forecast, "GET", f"{_path(task_id)}/forecast", params=reading)

    def forgotten(self, task_id: str, k: int = 20, **query: Unpack[ForgottenQuery]) -> Forgotten:
        """The k most forgotten upstream examples."""
        return self._connection.read(Forgotten, "GET", f"{_path(task_id)}/forgotten", params={"k": k, **query})

    def replay_set(self, task_id: str, **query: Unpack[ReplayQuery]) -> ReplaySet:
        """Upstream examples to replay while training on the task."""
        return self._connection.read(ReplaySet, "GET", f"{_path(task_id)}/replay-set", params=query)

    def to_numpy(self, task_id: str, *, as_of: int | None = None) -> NDArray[np.float32]:
        """Forgetting of every upstream example in set order, (N,), nats per token; measured cells as measured."""
        import numpy as np

        answer = self._connection.request("GET", f"{_path(task_id)}/forgetting.npy", params={"as_of": as_of})
        values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return values

    def to_parquet(
        self, task_id: str, path: Path | str, *, level: float | None = None, as_of: int | None = None
    ) -> None:
        """Write the whole row into a Parquet file: example_id, domain, forgetting, low, high, measured, promised."""
        query = {"level": level, "as_of": as_of}
        self._connection.request("GET", f"{_path(task_id)}/forgetting.parquet", params=query, into=Path(path))

    def to_table(self, task_id: str, *, level: float | None = None, as_of: int | None = None) -> pyarrow.Table:
        """The whole row as a pyarrow Table with the columns of `to_parquet`; needs the extra [parquet]."""
        parquet = extra("pyarrow.parquet", "parquet")
        query = {"level": level, "as_of": as_of}
        answer = self._connection.request("GET", f"{_path(task_id)}/forgetting.parquet", params=query)
        return parquet.read_table(io.BytesIO(answer.content))


def _path(task_id: str) -> str:
    return f"/v1/tasks/{segment(task_id)}"
