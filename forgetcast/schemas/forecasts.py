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


class ShareAbove(Average):
    """Share of examples forgotten by more than `limit`; right whatever the model gets wrong."""

    limit: float = Field(description="nats per token")
    n: int = Field(description="examples above it: the share, of all examples")
    n_low: int
    n_high: int


class DomainAverage(Average):
    domain: str
    n_examples: int
    n_measured: int
    mean_interval: Average | None = Field(
        default=None, description="as that of the row; null with fewer than five random probes in the domain"
    )
    share_above: ShareAbove | None = Field(
        default=None, description="where `mean_interval` is, if `above` is asked for"
    )


class Forecast(Versions):
    task: Id
    matrix: Id
    method: str
    level: float
    n_tasks: int
    n_examples: int
    n_measured: int
    row_mean: Average = Field(description="by the model; of a row unlike the known ones read `mean_interval`")
    mean_interval: Average | None = Field(
        default=None,
        description="mean of the row, right whatever the model gets wrong: the forecast and what random probes lie "
        "above it; null below two of them",
    )
    random_mean: Average | None = Field(default=None, deprecated="use mean_interval, which is the same")
    share_above: ShareAbove | None = Field(
        default=None, description="if `above` is asked for; null below two random probes"
    )
    domains: list[DomainAverage]
    same_recipe: bool
    unlike_known: bool | None = Field(
        description="whether the probes say that the task forgets unlike all known ones; null where they cannot say"
    )
    unlike_known_from: int = Field(description="number of probes from which they can")
    warnings: list[str] = Field(description="`code: what it means`, what matters most first")
    quality: Quality | None


class RowCell(Shape):
    """A cell of a whole row; a measured one is returned as measured. Its numbers are null where nothing is forecast."""

    example_id: str
    domain: str
    forgetting: float | None
    low: float | None
    high: float | None
    measured: bool
    calibrated: bool
    promised: bool = False


class ForgottenExample(Shape):
    """A cell of a forecast; a measured one is returned as measured."""

    example_id: str
    domain: str
    forgetting: float
    low: float
    high: float
    place: int = Field(description="1 for the most forgotten")
    measured: bool
    calibrated: bool = Field(description="whether the interval is vouched for: not of rows unlike the known ones")
    promised: bool = Field(deprecated="use calibrated, which is the same")


class Forgotten(Versions):
    task: Id
    matrix: Id
    level: float
    data: list[ForgottenExample]
