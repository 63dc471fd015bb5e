"""Tasks: register, wait for, and read what they will make the model forget."""

from __future__ import annotations

import io
from collections.abc import Iterator
from datetime import datetime, timedelta
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from forgetcast.client.connection import Connection, made, segment
from forgetcast.client.datasets import Datasets
from forgetcast.client.following import OnEvent
from forgetcast.client.jobs import Jobs
from forgetcast.errors import JobFailed, JobNotFound
from forgetcast.schemas import (
    Design,
    Forecast,
    Forgotten,
    Job,
    JobCreate,
    JobState,
    MeasurementsCreate,
    ReplaySet,
    Task,
    TaskCreate,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Tasks:
    """`client.tasks`."""

    def __init__(self, connection: Connection, datasets: Datasets, jobs: Jobs) -> None:
        self._connection = connection
        self._datasets = datasets
        self._jobs = jobs

    def create(
        self,
        dataset: Path | bytes | None = None,
        *,
        matrix: str,
        id: str | None = None,
        measure: Literal["probe", "full", "none"] | None = None,
        design: Design = Design.RANDOM,
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

        What was ordered before is not measured again: `existed` of the handle says so. Without a data set nothing is
        measured until you post measurements.
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
        return TaskHandle(self, self._jobs, task, existed=answer.status_code == HTTPStatus.OK)

    def get(self, task_id: str) -> TaskHandle:
        task = self._connection.read(Task, "GET", f"/v1/tasks/{segment(task_id)}")
        return TaskHandle(self, self._jobs, task, existed=True)

    def list(self, *, matrix: str | None = None) -> Iterator[Task]:
        return self._connection.pages(Task, "/v1/tasks", {"matrix": matrix})

    def create_job(self, task_id: str, wanted: JobCreate) -> Job:
        """Order a further measuring of a task."""
        path = f"/v1/tasks/{segment(task_id)}/jobs"
        return self._connection.read(Job, "POST", path, json=wanted.model_dump(mode="json"))

    def post_measurements(self, task_id: str, measured: MeasurementsCreate) -> Forecast:
        """Add cells that a training run measured itself; the forecast that follows from them."""
        path = f"/v1/tasks/{segment(task_id)}/measurements"
        return self._connection.read(Forecast, "POST", path, json=measured.model_dump(mode="json", exclude_none=True))

    def forecast(self, task_id: str, *, level: float | None = None) -> Forecast:
        """The task's forecast in short."""
        return self._connection.read(Forecast, "GET", f"/v1/tasks/{segment(task_id)}/forecast", params={"level": level})

    def forgotten(
        self,
        task_id: str,
        k: int = 20,
        *,
        domain: str | None = None,
        min: float | None = None,
        level: float | None = None,
    ) -> Forgotten:
        """The k most forgotten upstream examples, of one domain or with at least `min` nats per token if asked."""
        query = {"k": k, "domain": domain, "min": min, "level": level}
        return self._connection.read(Forgotten, "GET", f"/v1/tasks/{segment(task_id)}/forgotten", params=query)

    def replay_set(self, task_id: str, **query: Any) -> ReplaySet:
        """Upstream examples to replay: size or ratio, strategy, temperature, seed, min_per_domain, max_weight."""
        return self._connection.read(ReplaySet, "GET", f"/v1/tasks/{segment(task_id)}/replay-set", params=query)

    def to_numpy(self, task_id: str) -> NDArray[np.float32]:
        """Forgetting of every upstream example in set order, (N,), nats per token; measured cells as measured."""
        import numpy as np

        answer = self._connection.request("GET", f"/v1/tasks/{segment(task_id)}/forgetting.npy")
        values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return values


class TaskHandle:
    """One task: `task` is how the service described it when the handle was made."""

    def __init__(self, tasks: Tasks, jobs: Jobs, task: Task, *, existed: bool) -> None:
        self._tasks = tasks
        self._jobs = jobs
        self.task = task
        self.existed = existed

    def __repr__(self) -> str:
        return f"<TaskHandle {self.id}>"

    @property
    def id(self) -> str:
        return self.task.id

    def job(self) -> Job | None:
        """The newest job as it stands now."""
        return None if self.task.job is None else self._jobs.get(self.task.job)

    def wait(self, *, timeout: timedelta | None = None, on_event: OnEvent | None = None) -> Job:
        """The newest job once it has succeeded; every event is handed over as it comes.

        Raises
        ------
        JobFailed : it failed or was cancelled
        WaitTimedOut : it goes on
        JobNotFound : the task never had a job
        """
        if self.task.job is None:
            raise JobNotFound(f"the task {self.id!r} has no job; order one, or post its measurements")
        job = self._jobs.wait(self.task.job, timeout=timeout, on_event=on_event)
        if job.state is not JobState.SUCCEEDED:
            why = f": {job.error.detail} ({job.error.code})" if job.error else ""
            message = f"job {job.id} of the task {self.id!r} {_ENDED[job.state]}{why}"
            raise JobFailed(message, location=f"/v1/jobs/{job.id}")
        return job

    def measure_again(self) -> None:
        """Order the task's own measuring once more, after a job that failed or was cancelled."""
        if self.task.measure == "full":
            wanted = JobCreate(measure="full")
        else:
            size, seed = self.task.size or 30, self.task.probe_seed or 0
            wanted = JobCreate(measure="probe", design=self.task.design or Design.RANDOM, size=size, probe_seed=seed)
        job = self._tasks.create_job(self.id, wanted)
        self.task = self.task.model_copy(update={"job": job.id})

    def cancel(self) -> Job | None:
        """Ask for the newest job to end; None when there is none."""
        return None if self.task.job is None else self._jobs.cancel(self.task.job)

    def forecast(self, *, level: float | None = None) -> Forecast:
        return self._tasks.forecast(self.id, level=level)

    def forgotten(
        self, k: int = 20, *, domain: str | None = None, min: float | None = None, level: float | None = None
    ) -> Forgotten:
        return self._tasks.forgotten(self.id, k, domain=domain, min=min, level=level)

    def replay_set(self, **query: Any) -> ReplaySet:
        """Query as for `client.tasks.replay_set`."""
        return self._tasks.replay_set(self.id, **query)

    def to_numpy(self) -> NDArray[np.float32]:
        """(N,), nats per token."""
        return self._tasks.to_numpy(self.id)


_ENDED = {JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}
