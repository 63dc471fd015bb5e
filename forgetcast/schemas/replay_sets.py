"""Replay sets."""

from __future__ import annotations

from enum import StrEnum

from pydantic import Field

from forgetcast.schemas.base import Id, Sha256, Shape
from forgetcast.schemas.forecasts import Versions
from forgetcast.schemas.upstream_sets import Message


class ReplayExample(Shape):
    id: str
    weight: float = Field(description="its share of the softmax over all eligible examples")
    forgetting: float
    domain: str
    text: str | None = None
    messages: list[Message] | None = None


class ReplayFormat(StrEnum):
    """How a line of a replay set is written: as kept, or in a form that trainers read."""

    EXAMPLES = "examples"
    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt_completion"
    IDS = "ids"


class ReplayFence(Shape):
    """What the set was kept from, and what that costs it."""

    task: Id = Field(description="whose random probes, and what its policies protect, are not in the set")
    row_version: int = Field(description="of that task; probes that it gets later may be in the set")
    n_fenced: int = Field(description="examples that could be drawn but for the fence")
    n_replaced: int = Field(description="examples of the set without a fence that are not in this one")
    mean_forgetting: float = Field(description="forecast of the examples in the set, nats per token")
    mean_forgetting_without: float = Field(description="the same of the set without a fence")


class ReplayManifest(Versions):
    task: Id
    matrix: Id
    upstream_set: Id
    upstream_sha256: Sha256
    strategy: str
    size: int
    temperature: float
    seed: int
    min_per_domain: int
    max_weight: float | None = Field(description="largest share of the softmax that one example may hold; none if null")
    effective_sample_size: float = Field(description="examples that share the weight in effect, 1 / sum of squares")
    numpy_version: str | None = Field(default=None, description="that the set was drawn with")
    kept_gain: float | None = Field(
        default=None,
        description="of what the highest forecasts gain over an even draw of as many: 1 for the highest, about 0 for "
        "even; null where nothing can be gained",
    )
    warnings: list[str]
    fence: ReplayFence | None = None
    sha256: Sha256 = Field(description="of the ids and weights, one `id<TAB>weight` a line, whatever the format")
    format: str = Field(default=ReplayFormat.EXAMPLES, description="of the file that `body_sha256` is of")
    body_sha256: Sha256 | None = Field(default=None, description="of the file of this format")


class ReplayDose(Shape):
    """What replaying so many examples, the highest forecasts first, would cover."""

    size: int
    ratio: float | None = Field(description="replayed examples to one of the task's; null where these are not counted")
    ratio_of_mix: float | None = Field(description="the same dose as a share of all examples of the mix")
    covered: float | None = Field(
        description="their forecast forgetting over that of all that may be replayed and are forgotten"
    )
    marginal: float = Field(description="mean forecast of those that the dose before does not have, nats per token")


class ReplaySet(Shape):
    manifest: ReplayManifest
    curve: list[ReplayDose] = Field(default=[], description="from a small dose to a large one")
    data: list[ReplayExample]
