"""Jobs: orders, states, attempts and events."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field, model_validator

from forgetcast.schemas.base import ExampleId, FirstError, Id, Seed, Shape
from forgetcast.schemas.probes import Design, Measure


class JobCreate(Shape):
    measure: Literal["probe", "full", "examples"] = "probe"
    design: Design = Design.MIXED
    size: int = Field(default=30, ge=1, le=100_000)
    probe_seed: Seed = 0
    examples: Annotated[list[ExampleId], FirstError, Field(min_length=1, max_length=100_000)] | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    hardware: Id = "any"
    deadline: AwareDatetime | None = None

    @model_validator(mode="after")
    def _examples_belong_to_their_measure(self) -> JobCreate:
        if (self.measure == "examples") != (self.examples is not None):
            raise ValueError('`examples` is given with measure "examples" and only then')
        return self


class JobState(StrEnum):
    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def terminal(self) -> bool:
        return self in (JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED)


class Progress(Shape):
    """Where an attempt stands; `eta_s` is the time left in this phase."""

    phase: str
    step: int
    total: int
    loss: float | None = None
    eta_s: float | None = None


class JobError(Shape):
    """Why a job failed, or why its last attempt did; the README lists the codes."""

    code: str
    detail: str
    hint: str = Field(default="", description="what to do about it")
    last_code: str | None = Field(
        default=None, description='of the last attempt, where the code is "attempts_exhausted"'
    )


class Attempt(Shape):
    """One attempt at a job. One that was given back when its worker was stopped has the same number as the next."""

    attempt: int
    worker: str
    gpu: str | None
    outcome: str | None = Field(description='"succeeded", "cancelled", "given_back", an error code, or null: running')
    detail: str | None
    exit_status: int | None = Field(description="of the process; negative the signal that ended it")
    max_rss: int | None = Field(description="bytes it had in memory at most")
    started_at: datetime
    ended_at: datetime | None


class Job(Shape):
    id: str
    task: Id
    measure: Measure
    n_examples: int = Field(description="upstream examples to measure")
    design: Design | None = Field(default=None, description="of the probes, as used; null when examples were named")
    designed_from: int | None = Field(default=None, description="matrix version whose fit chose probes, if one did")
    state: JobState
    terminal: bool
    attempt: int
    max_attempts: int
    cancel_requested: bool
    progress: Progress | None
    error: JobError | None
    attempts: list[Attempt] = Field(default_factory=list)
    seconds: dict[str, float] | None = Field(description="time of each phase of the attempt that succeeded")
    priority: int
    hardware: str
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    warnings: list[str] = Field(default=[], description="of the order: a code, then why it may not start")


class Event(Shape):
    id: int
    type: Literal["message", "progress", "state"]
    level: Literal["info", "warn", "error"]
    message: str
    data: dict[str, Any]
    created_at: datetime
