"""What an operator asks: is it ready, who works, what waits."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from forgetcast.schemas.base import Id, Shape
from forgetcast.schemas.jobs import Progress


class Ready(Shape):
    ready: bool
    missing: list[str] = Field(description="without these no request can be served: the answer is 503")
    warnings: list[str] = Field(default=[], description="requests are served, but jobs start late or not at all")


class Model(Shape):
    id: str
    revision: str | None = Field(description="sha256 over the files; null until the first matrix names the model")


class Worker(Shape):
    id: str
    host: str
    hardware: list[str]
    gpu: str | None
    version: str
    job: str | None = Field(description="what it works on")
    alive: bool = Field(description="seen within one lease; a silent one is listed for ten")
    started_at: datetime
    seen_at: datetime


class WaitingJobs(Shape):
    """Jobs of one hardware class and priority that wait."""

    hardware: str
    priority: int
    n_jobs: int
    oldest_age_s: float
    starts_in_s: float | None = Field(
        description="until a job that is ordered now would start; null when no worker takes this class, "
        "or no job has succeeded yet"
    )


class RunningJob(Shape):
    job: str
    task: Id
    hardware: str
    worker: str
    attempt: int
    running_s: float
    progress: Progress | None


class Queue(Shape):
    n_queued: int
    n_running: int
    oldest_age_s: float | None
    job_s: float | None = Field(description="median of the jobs that succeeded last, from their start to their end")
    waiting: list[WaitingJobs] = Field(description="in the order in which they are taken")
    running: list[RunningJob] = Field(description="the longest first")
