"""Replay sets of a few examples, and tasks in the layouts that people have."""

from __future__ import annotations

from typing import Any

from forgetcast.client import ReplaySet
from tests.cli.world import REPLAY_SET

CHAT = [{"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
LONGER = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "2 + 2?"},
    {"role": "assistant", "content": "4"},
]


def a_set(*examples: dict[str, Any]) -> ReplaySet:
    data = [{"weight": 0.25, "forgetting": 0.1, "domain": "", **example} for example in examples]
    return ReplaySet.model_validate({"manifest": REPLAY_SET["manifest"], "data": data})


def conversations(n: int = 3) -> ReplaySet:
    return a_set(*({"id": f"e{place}", "messages": LONGER if place == 0 else CHAT} for place in range(n)))
