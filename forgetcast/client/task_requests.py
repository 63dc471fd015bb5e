"""What can be asked about one task by its id: measure more of it, and read what it will make the model forget."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

from forgetcast.client.connection import Connection, made, segment
from forgetcast.client.extras import extra
from forgetcast.client.replay_sets import ReplayQuery, ReplaySet
from forgetcast.schemas import (
    Forecast,
    Forgotten,
    Gate,
    GateCreate,
    Job,
    JobCreate,
    MeasurementsCreate,
    Release,
    ReleaseCreate,
    RowCell,
    Task,
)

if TYPE_CHECKING:
    import numpy as np
    import pyarrow
    from numpy.typing import NDArray

    from forgetcast.gate.policy import Policy


class Reading(TypedDict, total=False):
    """How a forecast is read: the intervals' `level`; `as_of` an older matrix version; before anything is measured."""

    level: float | None
    as_of: int | None
    allow_unmeasured: bool | None


class ForecastQuery(Reading, total=False):
    """With `above`, nats per token, `share_above` says how many examples are forgotten by more."""

    above: float | None


class ForgottenQuery(Reading, total=False):
    """Examples of one domain, or with at least `min` nats per token."""

    domain: str | None
    min: float | None


class TaskRequests:
    """The requests that name a task; `client.tasks` answers to them, and the handle of a task asks them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create_job(self, task_id: str, wanted: JobCreate) -> Job:
        """Order a further measuring of a task."""
        return self._connection.read(Job, "POST", f"{task_path(task_id)}/jobs", json=wanted.model_dump(mode="json"))

    def post_measurements(self, task_id: str, measured: MeasurementsCreate) -> Forecast | Task:
        """Add cells that a training run measured itself; the forecast that follows from them.

        While there can be none (the matrix has no known rows, or is not fitted), the cells are stored all the same, and
        the answer is the task; its `warnings` say why.
        """
        sent = measured.model_dump(mode="json", exclude_none=True)
        answer = self._connection.request("POST", f"{task_path(task_id)}/measurements", json=sent)
        if answer.status_code == HTTPStatus.ACCEPTED:
            return self._connection.shape(Task, answer)
        return self._connection.shape(Forecast, answer)

    def gate(
        self, task_id: str, policy: Policy, *, first_release: bool = False, replay_ids: Sequence[str] = ()
    ) -> Gate:
        """Judge a task by a policy (`forgetcast.gate.policy_files.read_policy` reads one); the verdict is kept.

        `first_release`: nothing was released yet, so there is no baseline to compare with. `replay_ids`: upstream
        examples that were mixed into the candidate's training.
        """
        wanted = made(GateCreate, policy=policy, first_release=first_release, replay_ids=list(replay_ids))
        return self._connection.read(Gate, "POST", f"{task_path(task_id)}/gate", json=wanted.model_dump(mode="json"))

    def verdicts(self, task_id: str) -> Iterator[Gate]:
        """The verdicts on a task, oldest first."""
        return self._connection.pages(Gate, "/v1/gates", {"task": task_id})

    def release(self, task_id: str, weights_sha256: str, *, gate: str | None = None) -> Release:
        """Mark a task's model as released, by the verdict `gate`: the baseline of what follows."""
        wanted = made(ReleaseCreate, weights_sha256=weights_sha256, gate=gate)
        path = f"{task_path(task_id)}/release"
        return self._connection.read(Release, "POST", path, json=wanted.model_dump(mode="json"))

    def forecast(self, task_id: str, **query: Unpack[ForecastQuery]) -> Forecast:
        """The task's forecast in short."""
        return self._connection.read(Forecast, "GET", f"{task_path(task_id)}/forecast", params=query)

    def forgotten(self, task_id: str, k: int = 20, **query: Unpack[ForgottenQuery]) -> Forgotten:
        """The k most forgotten upstream examples."""
        return self._connection.read(Forgotten, "GET", f"{task_path(task_id)}/forgotten", params={"k": k, **query})

    def replay_set(self, task_id: str, **query: Unpack[ReplayQuery]) -> ReplaySet:
        """Upstream examples to replay while training on the task."""
        return self._connection.read(ReplaySet, "GET", f"{task_path(task_id)}/replay-set", params=query)

    def to_numpy(self, task_id: str, *, as_of: int | None = None) -> NDArray[np.float32]:
        """Forgetting of every upstream example in set order, (N,), nats per token; measured cells as measured."""
        import numpy as np

        answer = self._connection.request("GET", f"{task_path(task_id)}/forgetting.npy", params={"as_of": as_of})
        values: NDArray[np.float32] = np.load(io.BytesIO(answer.content), allow_pickle=False)
        return values

    def cells(self, task_id: str, *, as_of: int | None = None) -> list[RowCell]:
        """Every cell of the task's row in set order, with its interval, and whether it was measured."""
        answer = self._connection.request("GET", f"{task_path(task_id)}/forgetting.jsonl", params={"as_of": as_of})
        return [RowCell.model_validate_json(line) for line in answer.text.split("\n") if line]

    def to_parquet(
        self, task_id: str, path: Path | str, *, level: float | None = None, as_of: int | None = None
    ) -> None:
        """Write the whole row into a Parquet file: example_id, domain, forgetting, low, high, measured, calibrated.

        A last column `promised` is the same as `calibrated`, for readers of earlier files.
        """
        query = {"level": level, "as_of": as_of}
        self._connection.request("GET", f"{task_path(task_id)}/forgetting.parquet", params=query, into=Path(path))

    def to_table(self, task_id: str, *, level: float | None = None, as_of: int | None = None) -> pyarrow.Table:
        """The whole row as a pyarrow Table with the columns of `to_parquet`; needs the extra [parquet]."""
        parquet = extra("pyarrow.parquet", "parquet")
        query = {"level": level, "as_of": as_of}
        answer = self._connection.request("GET", f"{task_path(task_id)}/forgetting.parquet", params=query)
        return parquet.read_table(io.BytesIO(answer.content))


def task_path(task_id: str) -> str:
    return f"/v1/tasks/{segment(task_id)}"
