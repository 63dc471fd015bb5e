"""Tasks, their data, and cells that a run measured itself."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, Field, model_validator

from forgetcast.schemas.base import Count, ExampleId, Finite, Id, Label, Seed, Sha256, Shape
from forgetcast.schemas.measuring import Recipe, Setting
from forgetcast.schemas.probes import Design, Measure


class ReadAs(Shape):
    """In which layout fine-tuning data stand, and by which version of the converter."""

    layout: str = Field(description="its name; several, joined by `and`, where examples differ")
    version: int = Field(description="of the converter: what it makes of the same bytes changes with it alone")
    sentence: str = Field(description="the same in words, with how many examples there are")


class Dataset(Shape):
    """Fine-tuning data, named by the sha256 of its bytes."""

    sha256: Sha256
    n_lines: int = Field(description="examples")
    n_bytes: int
    read_as: ReadAs | None = None


class TaskCreate(Shape):
    id: Id | None = None
    name: Label | None = Field(
        default=None, max_length=256, description="for people, such as the data's file name; no part of what a task is"
    )
    matrix: Id
    dataset: Sha256 | None = None
    measure: Literal["probe", "full", "none"] = "probe"
    design: Design = Design.MIXED
    size: int = Field(default=30, ge=1, le=100_000, description="probes")
    probe_seed: Seed = 0
    seed: Seed = Field(default=1, description="of fine-tuning")
    family: Label | None = Field(default=None, max_length=128)
    n_examples: Count | None = None
    repeat_of: Id | None = None
    priority: int = Field(default=0, ge=-100, le=100)
    hardware: Id = "any"
    deadline: AwareDatetime | None = None

    @model_validator(mode="after")
    def _a_job_needs_data(self) -> TaskCreate:
        if self.measure != "none" and self.dataset is None:
            raise ValueError('`dataset` is needed unless `measure` is "none"')
        return self


class Task(Shape):
    id: Id
    name: str | None = Field(default=None, description="for people: the file that its data came from")
    matrix: Id
    dataset: Sha256 | None = Field(description="of the fine-tuning data; of an imported row's, which are elsewhere")
    read_as: ReadAs | None = Field(default=None, description="what the fine-tuning data were read as")
    measure: Measure
    design: Design | None = Field(description="that was used: random where there was no fit to design probes from")
    designed_from: int | None = Field(default=None, description="matrix version whose fit chose probes, if one did")
    size: int | None
    probe_seed: int | None
    seed: int
    family: str | None
    n_examples: int | None
    repeat_of: Id | None
    known: bool = Field(description="whether the completion learns from this row")
    row_version: int
    n_measured: int
    job: str | None = Field(description="the newest job")
    created_at: datetime
    warnings: list[str] = Field(default=[], description="of what was just asked: a code, then what is to be expected")


class ImportedRow(Task):
    """The task of a row that was imported, and what of the row is beyond belief beside other known rows."""

    warnings: list[str] = Field(default_factory=list)


class Cell(Shape):
    """One measured cell: log-perplexity before and after, or their difference."""

    example_id: ExampleId
    before: Finite | None = None
    after: Finite | None = None
    forgetting: Finite | None = None
    at_random: bool | None = Field(default=None, description="whether it was drawn at random, where cells differ")

    @model_validator(mode="after")
    def _one_form(self) -> Cell:
        given = (self.before is not None, self.after is not None, self.forgetting is not None)
        if given not in ((True, True, False), (False, False, True)):
            raise ValueError("a cell has `before` and `after`, or `forgetting`")
        return self

    @property
    def value(self) -> float:
        """After minus before, nats per token."""
        if self.forgetting is not None:
            return self.forgetting
        assert self.before is not None and self.after is not None
        return self.after - self.before


class MeasurementsCreate(Shape):
    setting: Setting
    recipe: Recipe
    source: Label = Field(default="", max_length=512)
    seed: Seed = 0
    probes_at_random: bool = Field(
        default=True, description="whether the examples were drawn at random, where a cell does not say it"
    )
    weights_sha256: Sha256 | None = Field(
        default=None,
        description="of the weights that were measured, which makes them a candidate that the gate can judge",
    )
    cells: list[Cell] = Field(min_length=1, max_length=1_000_000)
