"""Policies sent, verdicts kept, and cells of a finished evaluation."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from forgetcast.gate.policy import Policy
from forgetcast.gate.verdict import JudgedObject, Verdict
from forgetcast.schemas.base import ExampleId, Id, Label, Sha256, Shape
from forgetcast.schemas.forecasts import Versions
from forgetcast.schemas.tasks import Cell


class FinishedCell(Cell):
    """A cell of a finished evaluation, with the names that assertions go by."""

    domain: Label | None = Field(default=None, max_length=128)
    tags: list[Label] = Field(default=[], max_length=64)


class GateCreate(Shape):
    """A policy to judge a task by."""

    policy: Policy
    replay_ids: list[ExampleId] = Field(
        default=[],
        max_length=1_000_000,
        description="upstream examples that were mixed into the candidate's training; none may be what judges it",
    )
    first_release: bool = Field(
        default=False, description="pass where there is no baseline yet: `threshold` is not asked then"
    )


class GateBaseline(Shape):
    """The row that thresholds compared with."""

    task: Id
    row_version: int
    matrix_version: int


class Gate(Versions):
    """A verdict with everything that it is a function of."""

    object: Literal["gate"] = "gate"
    id: str
    task: Id
    matrix: Id
    policy: Policy
    policy_sha256: Sha256
    first_release: bool
    judged: JudgedObject = Field(description="the weights that were measured, or another run of their recipe")
    weights_sha256: Sha256 | None = Field(description="of the candidate, as its measurements name them")
    baseline: GateBaseline | None
    look: int = Field(description="of the task: verdicts on the same measurements are one")
    verdict: Verdict
    created_at: datetime


class ReleaseCreate(Shape):
    """A task whose model was released."""

    weights_sha256: Sha256 = Field(description="of the weights that were released")
    gate: str | None = Field(default=None, max_length=64, description="the verdict that it was released by")


class Release(Shape):
    """The newest release of a matrix is the baseline `auto`."""

    task: Id
    matrix: Id
    weights_sha256: Sha256
    gate: str | None
    released_at: datetime
    warnings: list[str] = Field(default=[], description="what would make it a better baseline")
