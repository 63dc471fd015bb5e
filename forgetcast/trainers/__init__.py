"""Replay in today's trainers; the extra [trainers] brings `datasets`, torch and the trainer are the user's own.

    from forgetcast.trainers import OnlineReplay, ReplaySampler, mix, replay_dataset, upstream_pool

offline   replay_dataset(task_id) and mix(task, replay, ratio, seed): rows that any trainer reads
          `forgetcast replay TASK --for trl|axolotl|llamafactory` (configs.py): the file and the lines of its config
online    OnlineReplay: in one run of transformers' Trainer or TRL's SFTTrainer, uniform replay until a forecast of this
          very run weighs it

Each name is loaded when it is first asked for, so that offline replay needs no torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from forgetcast.trainers.mixing import mix
    from forgetcast.trainers.offline import replay_dataset
    from forgetcast.trainers.online import OnlineReplay
    from forgetcast.trainers.pool import upstream_pool
    from forgetcast.trainers.sampler import ReplaySampler

__all__ = ["OnlineReplay", "ReplaySampler", "mix", "replay_dataset", "upstream_pool"]

_LAZY = {
    "OnlineReplay": "forgetcast.trainers.online",
    "ReplaySampler": "forgetcast.trainers.sampler",
    "mix": "forgetcast.trainers.mixing",
    "replay_dataset": "forgetcast.trainers.offline",
    "upstream_pool": "forgetcast.trainers.pool",
}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
