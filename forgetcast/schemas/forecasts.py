"""Completed rows and what they rest on."""

from __future__ import annotations

from pydantic import Field

from forgetcast.schemas.base import Id, Shape
from forgetcast.schemas.matrices import Quality


class Versions(Shape):
    """A forecast is a function of these three."""

    matrix_version: int
    row_version: int
    model_version: int


class Average(Shape):
    """Mean forgetting over some examples with its interval, nats per token."""

    mean: float
    low: float
    high: float


class DomainAverage(Average):
    domain: str
    n_examples: int
    n_measured: int


class Forecast(Versions):
    task: Id
    matrix: Id
    method: str
    level: float
    n_tasks: int
    n_examples: int
    n_measured: int
    row_mean: Average
    random_mean: Average | None = Field(
        default=None, description="by the randomly drawn probes alone, whatever the model says; null below two of them"
    )
    domains: list[DomainAverage]
    same_recipe: bool
    unlike_known: bool
    warnings: list[str]
    quality: Quality | None


class ForgottenExample(Shape):
    """A cell of a forecast. A measured one is returned as measured; `promised` says whether its interval is."""

    example_id: str
    domain: str
    forgetting: float
    low: float
    high: float
    place: int = Field(description="1 for the most forgotten")
    measured: bool
    promised: bool


class Forgotten(Versions):
    task: Id
    matrix: Id
    level: float
    data: list[ForgottenExample]
