"""Which upstream examples are measured for a task."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from forgetcast.schemas.base import ExampleId, Id, Seed, Shape


class Measure(StrEnum):
    PROBE = "probe"
    FULL = "full"
    NONE = "none"
    EXAMPLES = "examples"


class Design(StrEnum):
    MIXED = "mixed"
    OPTIMAL = "optimal"
    RANDOM = "random"


class Probe(Shape):
    place: int
    example_id: ExampleId
    domain: str
    at_random: bool
    expected_error: float | None = Field(description="of the cells outside, once it is measured; null without a fit")


class ProbeSet(Shape):
    """Probes in the order they are chosen: the first 10 of 30 are the 10. Errors are nats per token."""

    matrix: Id
    matrix_version: int | None = Field(description="whose fit chose them; null for random ones without a fit")
    design: Design
    seed: Seed
    domains: list[str] = Field(description="that the errors are about, and the choice; empty for all")
    expected_error: float | None = Field(description="before any probe")
    numpy_version: str | None = Field(default=None, description="that drew and chose them")
    data: list[Probe]
