"""Matrices and how good forecasts from them are."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field, field_validator, model_validator

from forgetcast.schemas.base import Id, Shape
from forgetcast.schemas.measuring import Recipe, Setting, measurable_under


class MatrixCreate(Shape):
    id: Id | None = None
    upstream_set: Id
    model: Id
    recipe: Recipe
    setting: Setting = Setting()

    @field_validator("recipe")
    @classmethod
    def _replays_nothing(cls, recipe: Recipe) -> Recipe:
        if recipe.replay is not None:
            raise ValueError("a matrix is of runs that replay nothing; leave `replay` out")
        return recipe

    @model_validator(mode="after")
    def _the_setting_goes_with_the_recipe(self) -> MatrixCreate:
        why = measurable_under(self.recipe, self.setting)
        if why is not None:
            raise ValueError(why)
        return self


class QualityFigures(Shape):
    """How near forecasts of left-out tasks came and what their intervals held; popularity ranks all tasks alike."""

    spearman: float
    spearman_popularity: float
    recall_5pct: float = Field(
        description="share of a task's truly most forgotten 5% found among its 5% highest forecasts"
    )
    recall_5pct_popularity: float
    rmse: float = Field(description="nats per token, unprobed cells")
    rmse_popularity: float
    coverage: float = Field(description="share of unprobed cells inside their 90% interval")
    top_coverage: float | None = Field(default=None, description="the same of the 5% highest forecasts")
    top_bias_share: float | None = Field(
        default=None, description="what these truly lie above the forecast, over the forecast; below 0 they are lower"
    )
    domain_coverage: float | None = Field(default=None, description="share of domains whose mean lies in its interval")
    row_mean_coverage: float | None = Field(default=None, description="share of rows whose mean lies in `row_mean`")
    row_mean_error: float | None = Field(default=None, description="root mean square error of rows' means")
    row_mean_error_popularity: float | None = Field(default=None, description="the same of column means alone")


class Quality(QualityFigures):
    """What a forecast can be expected to be worth: known tasks left out and forecast from probes as new ones are."""

    method: str
    matrix_version: int
    n_tasks: int
    n_probes: int
    left_out: str = Field(
        default="tasks",
        description="`families`: with every task of its family, as a task unlike the known ones fares; `tasks`: alone",
    )
    tasks_alone: QualityFigures | None = Field(
        default=None, description="the same tasks left out alone, where families are known"
    )


class FitError(Shape):
    """Why the newest version of a matrix is not fitted, or not back-tested; it is tried again, each time later."""

    matrix_version: int
    what: Literal["fit", "backtest"]
    code: str
    detail: str
    hint: str = Field(default="", description="what to do about it")
    n_failed: int = Field(description="attempts so far")
    again_at: datetime


class Matrix(Shape):
    id: Id
    upstream_set: Id
    model: Id
    model_revision: str
    recipe: Recipe
    setting: Setting
    version: int = Field(description="+1 whenever the known rows change")
    n_tasks: int = Field(description="known rows")
    n_examples: int
    n_unmeasurable: int = Field(
        default=0, description="of these, found to have nothing to score; neither probed nor forecast"
    )
    fitted_version: int | None
    quality: Quality | None
    fit_error: FitError | None = Field(default=None, description="of the newest version, where it could not be fitted")
    created_at: datetime


class ImportedMatrix(Shape):
    """A matrix whose rows came from a file: all of them, or none."""

    matrix: Matrix
    n_rows: int = Field(description="in the file, repeats among them")
    new_rows: list[Id] = Field(description="rows that were not there; the others are the same, or superseded")
    upstream_set_made: bool = Field(description="of ids without texts, which no worker can measure")
    warnings: list[str] = Field(default_factory=list, description="cells and rows of the file that are beyond belief")
