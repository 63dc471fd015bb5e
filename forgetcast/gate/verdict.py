"""What the gate answers with. Dataclasses of the standard library, read by pydantic for the wire as they are."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Result(StrEnum):
    """Of an assertion, and of the whole."""

    PASS = "pass"  # noqa: S105 (no password)
    WARN = "warn"  # of the whole alone
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"
    ERROR = "error"


class JudgedObject(StrEnum):
    """What a verdict is about: the weights to be released, or another run of their recipe."""

    CANDIDATE = "candidate"
    RECIPE = "recipe"


class Basis(StrEnum):
    """What an assertion's result rests on."""

    MEASURED = "measured"  # every cell: nothing is forecast
    FORECAST = "forecast"  # rows drawn from the joint predictive
    RANDOM_PROBES = "random_probes"  # their own interval, whatever the model says
    NOTHING = "nothing"


@dataclass(frozen=True)
class ExampleAtRisk:
    """An example that an assertion reads and that weighs most in it; nats per token.

    probability_over : of being forgotten by more than the limit (of a protected set, or `above`); None for averages
    """

    example_id: str
    domain: str
    forgetting: float
    low: float
    high: float
    measured: bool
    probability_over: float | None = None


@dataclass(frozen=True)
class Settling:
    """What would make an inconclusive assertion conclusive, if what is measured comes out as is forecast now.

    n_more : examples to measure; None where no number of them would do
    example_ids : which, in this order; where they are many, the first of them
    at_random : whether they must be drawn at random, for only such probes count here
    """

    n_more: int | None
    example_ids: tuple[str, ...]
    at_random: bool
    reason: str


@dataclass(frozen=True)
class AssertionVerdict:
    """One limit, judged.

    limit, value, low, high : in `unit`; of `threshold` what the value lies above the baseline's. None where unknown
    over_at, under_at : error probability at which the value would be said to lie over its limit, or under it
    """

    name: str
    metric: str
    severity: str
    domain: str | None
    against: str  # "max", or "threshold" against the baseline
    result: Result
    limit: float
    unit: str
    value: float | None
    low: float | None
    high: float | None
    basis: Basis
    n_examples: int
    n_measured: int
    reason: str
    over_at: float | None = None
    under_at: float | None = None
    at_risk: tuple[ExampleAtRisk, ...] = ()
    settled_by: Settling | None = None


@dataclass(frozen=True)
class Verdict:
    """A policy judged on a row.

    error_probability : that each side of every assertion may spend at this look
    n_draws : rows drawn for it; 0 where none was needed
    """

    verdict: Result
    object: JudgedObject
    level: float
    look: int
    max_looks: int
    error_probability: float
    n_draws: int
    unlike_known: bool | None
    assertions: tuple[AssertionVerdict, ...]
    notes: tuple[str, ...] = ()
