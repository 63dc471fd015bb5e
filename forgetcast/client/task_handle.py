"""One task: wait for it, and read what it will make the model forget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from forgetcast.client.connection import made
from forgetcast.client.following import OnEvent
from forgetcast.client.jobs import Jobs
from forgetcast.client.matrices import Matrices
from forgetcast.client.replay_sets import ReplayQuery, ReplaySet
from forgetcast.client.task_requests import ForecastQuery, ForgottenQuery, TaskRequests
from forgetcast.errors import JobFailed, JobNotFound
from forgetcast.schemas import (
    Design,
    Forecast,
    Forgotten,
    Gate,
    Job,
    JobCreate,
    JobState,
    MeasurementsCreate,
    Recipe,
    RowCell,
    Setting,
    Task,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from forgetcast.gate.policy import Policy


class TaskHandle:
    """One task: `task` is how the service described it when the handle was made."""

    def __init__(self, requests: TaskRequests, jobs: Jobs, matrices: Matrices, task: Task, *, existed: bool) -> None:
        self._requests = requests
        self._jobs = jobs
        self._matrices = matrices
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

    def wait(self, *, timeout: timedelta | float | None = None, on_event: OnEvent | None = None) -> Job:
        """The newest job once it has succeeded; every event is handed over as it comes.

        `timeout`: a timedelta, or seconds; for ever by default.

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
            why = f": {job.error.detail} ({job.error.code}); {job.error.hint}" if job.error else ""
            message = f"job {job.id} of the task {self.id!r} {_ENDED.get(job.state, f'ended as {job.state}')}{why}"
            raise JobFailed(message, location=f"/v1/jobs/{job.id}")
        return job

    def measure_again(self) -> None:
        """Order the task's own measuring once more, after a job that failed or was cancelled."""
        if self.task.measure == "full":
            wanted = JobCreate(measure="full")
        else:
            size, seed = self.task.size or 30, self.task.probe_seed or 0
            wanted = JobCreate(measure="probe", design=self.task.design or Design.MIXED, size=size, probe_seed=seed)
        job = self._requests.create_job(self.id, wanted)
        self.task = self.task.model_copy(update={"job": job.id})

    def cancel(self) -> Job | None:
        """Ask for the newest job to end; None when there is none."""
        return None if self.task.job is None else self._jobs.cancel(self.task.job)

    def post_measurements(
        self,
        cells: Mapping[str, float],
        *,
        recipe: Recipe | None = None,
        setting: Setting | None = None,
        source: str = "",
        seed: int = 0,
        probes_at_random: bool = True,
        weights_sha256: str | None = None,
    ) -> Forecast | Task:
        """Add cells that a training run measured itself: example id to forgetting, nats per token.

        `weights_sha256`: of the weights that were measured, which the gate can judge then. Recipe and setting are those
        of the matrix where the run had no others. While there can be no forecast the cells are stored all the same; the
        answer is then the task, whose `warnings` say why.
        """
        if recipe is None or setting is None:
            matrix = self._matrices.get(self.task.matrix)
            recipe, setting = recipe or matrix.recipe, setting or matrix.setting
        measured = made(
            MeasurementsCreate,
            setting=setting,
            recipe=recipe,
            source=source,
            seed=seed,
            probes_at_random=probes_at_random,
            weights_sha256=weights_sha256,
            cells=[{"example_id": example, "forgetting": float(value)} for example, value in cells.items()],
        )
        return self._requests.post_measurements(self.id, measured)

    def gate(self, policy: Policy, *, first_release: bool = False, replay_ids: Sequence[str] = ()) -> Gate:
        """Judge the task by a policy; the verdict is kept."""
        return self._requests.gate(self.id, policy, first_release=first_release, replay_ids=replay_ids)

    def forecast(self, **query: Unpack[ForecastQuery]) -> Forecast:
        """The forecast in short."""
        return self._requests.forecast(self.id, **query)

    def forgotten(self, k: int = 20, **query: Unpack[ForgottenQuery]) -> Forgotten:
        """The k most forgotten upstream examples."""
        return self._requests.forgotten(self.id, k, **query)

    def replay_set(self, **query: Unpack[ReplayQuery]) -> ReplaySet:
        """Upstream examples to replay while training on the task."""
        return self._requests.replay_set(self.id, **query)

    def to_numpy(self, *, as_of: int | None = None) -> NDArray[np.float32]:
        """Forgetting of every upstream example in set order, (N,), nats per token."""
        return self._requests.to_numpy(self.id, as_of=as_of)

    def cells(self, *, as_of: int | None = None) -> list[RowCell]:
        """Every cell of the row in set order, with its interval, and whether it was measured."""
        return self._requests.cells(self.id, as_of=as_of)

    def to_parquet(self, path: Path | str, *, level: float | None = None, as_of: int | None = None) -> None:
        """Write the whole row into a Parquet file."""
        self._requests.to_parquet(self.id, path, level=level, as_of=as_of)

    def to_table(self, *, level: float | None = None, as_of: int | None = None) -> pyarrow.Table:
        """The whole row as a pyarrow Table; needs the extra [parquet]."""
        return self._requests.to_table(self.id, level=level, as_of=as_of)


_ENDED = {JobState.FAILED: "failed", JobState.CANCELLED: "was cancelled"}
