"""The processes of one attempt: one, or several that torch's launcher has started, each with a device of its own.

They train together and have the same weights. The first alone reports, measures, and writes what is kept; the others
follow its decisions, which depend on its clock and its disk, and end when training does.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import torch
from torch import distributed

from workers.attempt.texts.tokens import Tokens

Answer = TypeVar("Answer")
PATIENCE = timedelta(days=30)  # of those that wait while the first measures; who dies is noticed by the launcher
FILLER = Tokens((0, 0), (False, False))  # nothing to learn from: its loss and its gradients are zero


@dataclass(frozen=True)
class Ranks:
    """`rank`: which of `size` processes this is."""

    rank: int = 0
    size: int = 1

    @classmethod
    def joined(cls) -> Ranks:
        """Those that the launcher's variables name, connected: over the CPU to agree, over the devices to train."""
        size = int(os.environ.get("WORLD_SIZE", "1"))
        if size == 1:
            return ALONE
        if sys.platform == "linux":
            os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")  # of one host
            # The launcher may be killed before it can end us: the kernel then does.
            ctypes.CDLL(None).prctl(1, signal.SIGKILL, 0, 0, 0)
        local = int(os.environ["LOCAL_RANK"])
        backend = "gloo"
        if torch.cuda.is_available():
            torch.cuda.set_device(local)
            backend = "cpu:gloo,cuda:nccl"
        distributed.init_process_group(backend, timeout=PATIENCE)
        return cls(distributed.get_rank(), size)

    @property
    def first(self) -> bool:
        return self.rank == 0

    def told(self, answer: Answer) -> Answer:
        """What the first of them answers."""
        if self.size == 1:
            return answer
        said = [answer]
        distributed.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]

    def any(self, answer: bool) -> bool:
        """Whether one of them says yes."""
        if self.size == 1:
            return answer
        said = torch.tensor([int(answer)])
        distributed.all_reduce(said, distributed.ReduceOp.MAX)
        return bool(said.item())

    def wait(self) -> None:
        """Until all of them are here."""
        self.any(False)

    def part(self) -> None:
        """Nothing more is done together."""
        if self.size > 1:
            distributed.destroy_process_group()

    def share(self, batch: Sequence[Any], part: int, n_parts: int) -> list[Any]:
        """One update's examples in the order in which a sequential sampler deals them out, `part` at a time, to each in
        turn; where they are fewer than places, fillers stand in."""
        dealt = [list(batch[rank :: self.size]) for rank in range(self.size)]
        for own in dealt:
            own += [FILLER] * (part * n_parts - len(own))
        return [
            example
            for number in range(n_parts)
            for own in dealt
            for example in own[number * part : (number + 1) * part]
        ]


ALONE = Ranks()


def lost_another(error: BaseException) -> bool:
    """Whether an error says no more than that another process of the attempt has gone, which has said why."""
    said = str(error).lower()
    return isinstance(error, RuntimeError) and ("gloo" in said or "nccl" in said or "peer" in said)
