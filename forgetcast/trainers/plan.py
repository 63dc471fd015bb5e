"""What a run was asked to do, and what its callback reads of it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from forgetcast.schemas import Replay, UpstreamExample
from forgetcast.trainers.conversation import Service


@dataclass(frozen=True)
class Wanted:
    """How a run replays, as its user said it."""

    n_probes: int
    probe_seed: int
    measure_at: float
    temperature: float | None
    lead: int | None
    task_id: str | None
    measure_final: bool
    patience: timedelta


class Plan(Protocol):
    """`examples` may be measured; `pool_ids` are those of the rows that may be replayed, in order of these rows."""

    wanted: Wanted
    service: Service
    examples: list[UpstreamExample]
    pool_ids: list[str]
    n_task: int

    @property
    def described(self) -> Replay: ...
