"""A task measured twice, under two fine-tuning seeds: what noise is estimated from (reports/noise.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.arguments import floats_of
from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import NotFinite, WrongShape


@dataclass(frozen=True, eq=False)
class Repeat:
    """A task measured twice.

    first, second : (n,) floats, nats per token, of the cells that both have, n at least 1
    positions : (n,) ints, of these cells; None where nobody says, and then nothing is known of domains
    """

    task_id: str
    first: Floats
    second: Floats
    positions: Indices | None = None

    def __post_init__(self) -> None:
        for name in ("first", "second"):
            cells = floats_of(f"The {name} measurement of {self.task_id!r}", getattr(self, name))
            if not np.isfinite(cells).all():
                raise NotFinite(f"The {name} measurement of {self.task_id!r} has a cell that is not a finite number.")
            object.__setattr__(self, name, cells)
        if self.first.size != self.second.size or not self.first.size:
            raise WrongShape(
                f"{self.first.size} and {self.second.size} cells of {self.task_id!r} are no two measurements."
            )
        if self.positions is not None and self.positions.size != self.first.size:
            raise WrongShape(f"{self.positions.size} positions of {self.first.size} cells of {self.task_id!r}.")
