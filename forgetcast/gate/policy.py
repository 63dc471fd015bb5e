"""A policy: what may be forgotten. `policy_files` reads it from YAML or JSON; the gate's only shapes in pydantic."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from forgetcast.gate.metrics import Metric

MOST_NATS = 20.0  # of a limit, nats per token: guessing one of 150,000 tokens at random costs 12
MOST_ASSERTIONS = 1_000
EVERY_DOMAIN = "*"
AUTO = "auto"


def _on_one_line(value: str) -> str:
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in value):
        raise ValueError("a name has no control characters and stands on one line")
    return value


Name = Annotated[str, Field(min_length=1, max_length=512), AfterValidator(_on_one_line)]
Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]  # neither "0.05" nor true


class Severity(StrEnum):
    """What a failed assertion is: nothing, a word, or the end of the release."""

    OFF = "off"
    WARN = "warn"
    ERROR = "error"


class PolicyPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class MinQuality(PolicyPart):
    """What the back-test of the matrix must reach for forecasts to count; below, only random probes' intervals do."""

    coverage: Number = Field(
        default=0.8, ge=0, le=1, description="share of cells of left-out tasks inside their 90% interval, at least"
    )
    row_mean_ratio: Number = Field(
        default=1.0,
        gt=0,
        le=10,
        description="error of the mean of left-out tasks over that of popularity (column means), at most",
    )


class Assertion(PolicyPart):
    """One limit on one number of a row. `max` limits it, `threshold` what it lies above the baseline task's."""

    metric: Metric = Field(
        description="mean_forgetting; quantile (needs `q`); share_above and count_above (need `above`); protected "
        "(needs `ids` or `tags`): the largest forgetting of any of them"
    )
    severity: Severity = Field(default=Severity.ERROR, description="off, warn or error")
    max: Number | None = Field(
        default=None,
        description="nats per token; of share_above a share from 0 to 1, of count_above a number of examples",
    )
    threshold: Number | None = Field(
        default=None, description="how much higher than the baseline's it may be, in the same unit; needs `baseline`"
    )
    domain: Name | None = Field(default=None, description='of one domain, or "*": of each of them')
    q: Number | None = Field(default=None, gt=0, lt=1, description="of a quantile: 0.95")
    above: Number | None = Field(default=None, description="nats per token beyond which an example counts")
    ids: tuple[Name, ...] = Field(default=(), max_length=100_000, description="example ids that must not be forgotten")
    tags: tuple[Name, ...] = Field(default=(), max_length=1_000, description="or every example with such a tag")
    name: Name | None = Field(default=None, description="how it is called in reports")

    @field_validator("q", mode="before")
    @classmethod
    def _no_percent(cls, value: Any) -> Any:
        if isinstance(value, int | float) and not isinstance(value, bool) and 1 < value < 100:
            raise ValueError(f"a quantile lies between 0 and 1; did you mean {value / 100:g}?")
        return value

    @model_validator(mode="after")
    def _makes_sense(self) -> Assertion:
        self._check_parameters()
        if self.max is None and self.threshold is None:
            raise ValueError(f"{self.metric} has no limit: give `max`, or `threshold` against a baseline")
        for name in ("max", "threshold"):
            self._check_limit(name, getattr(self, name))
        if self.threshold is not None and self.threshold < 0:
            raise ValueError("`threshold` is what the value may lie above the baseline's; it is not negative")
        return self

    def _check_parameters(self) -> None:
        needs = {Metric.QUANTILE: ["q"], Metric.SHARE_ABOVE: ["above"], Metric.COUNT_ABOVE: ["above"]}.get(
            self.metric, []
        )
        for name in ("q", "above"):
            given = getattr(self, name) is not None
            if given != (name in needs):
                raise ValueError(f"{self.metric} {'needs' if not given else 'has no'} `{name}`")
        if (self.metric == Metric.PROTECTED) != bool(self.ids or self.tags):
            needs_set = self.metric == Metric.PROTECTED
            raise ValueError(f"{self.metric} {'needs `ids` or `tags`' if needs_set else 'has no `ids` and no `tags`'}")
        if self.metric == Metric.PROTECTED and self.domain is not None:
            raise ValueError("a protected set is its examples, whatever their domain; leave `domain` out")
        if self.above is not None and abs(self.above) > MOST_NATS:
            raise ValueError(_beyond("above", self.above))

    def _check_limit(self, name: str, limit: float | None) -> None:
        if limit is None:
            return
        if self.metric == Metric.SHARE_ABOVE:
            if not 0 <= limit <= 1:
                hint = f"; did you mean {limit / 100:g}?" if 1 < limit <= 100 else ""
                raise ValueError(f"`{name}` of share_above is a share from 0 to 1, not {limit:g}{hint}")
        elif self.metric == Metric.COUNT_ABOVE:
            if limit < 0 or limit != int(limit):
                raise ValueError(
                    f"`{name}` of count_above is a number of examples, not {limit:g}; share_above takes shares"
                )
        elif abs(limit) > MOST_NATS:
            raise ValueError(_beyond(name, limit))

    @property
    def label(self) -> str:
        """How reports call it."""
        if self.name is not None:
            return self.name
        match self.metric:
            case Metric.QUANTILE:
                text = f"p{100 * (self.q or 0):g}"
            case Metric.SHARE_ABOVE | Metric.COUNT_ABOVE:
                text = f"{self.metric} {self.above or 0:g}"
            case Metric.PROTECTED:
                named = [f"tag {tag}" for tag in self.tags] + ([f"{len(self.ids)} ids"] if self.ids else [])
                text = f"protected ({', '.join(named)})"
            case _:
                text = str(self.metric)
        return text


class Policy(PolicyPart):
    """What may be forgotten when this model is released."""

    version: Literal[1] = Field(default=1, description="of this format")
    level: Number = Field(
        default=0.95,
        ge=0.5,
        le=0.999,
        description="certainty of a pass or a fail over all looks; half of the rest each",
    )
    max_looks: int = Field(
        default=5, strict=True, ge=1, le=100, description="verdicts on more and more measurements that a task may have"
    )
    min_quality: MinQuality = MinQuality()
    baseline: Name | None = Field(
        default=None, description='id of the task that `threshold` compares with, or "auto": the last released one'
    )
    assertions: tuple[Assertion, ...] = Field(min_length=1, max_length=MOST_ASSERTIONS)

    @model_validator(mode="after")
    def _can_be_judged(self) -> Policy:
        if all(one.severity == Severity.OFF for one in self.assertions):
            raise ValueError("every assertion is off: such a policy passes whatever is forgotten")
        if self.baseline is None and any(one.threshold is not None for one in self.asked):
            raise ValueError('`threshold` needs `baseline`: a task id, or "auto" for the last released task')
        labels = [(one.label, one.domain) for one in self.asked]
        twice = next((label for label in labels if labels.count(label) > 1), None)
        if twice is not None:
            raise ValueError(f"two assertions are called {twice[0]!r}; give one of them a `name`")
        return self

    @property
    def asked(self) -> Sequence[Assertion]:
        """The assertions that are not off."""
        return [one for one in self.assertions if one.severity != Severity.OFF]

    @property
    def sha256(self) -> str:
        """Version of the policy: comments, order of keys and what is said that holds anyway do not change it."""
        plain = json.dumps(self.model_dump(mode="json"), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(plain.encode()).hexdigest()


def _beyond(name: str, limit: float) -> str:
    return (
        f"`{name}` is in nats per token, and {limit:g} is more than a model that guesses can lose; "
        f"{100 * limit:g}% is no unit here: 0.05 is a perplexity 5% higher"
    )
