"""How far two measurements of the same task are apart: what no forecast can be better than.

Notation
    a, b  forgetting of a task under two fine-tuning seeds, over the cells both have   (n,)  nats per token
    sd    of the noise of one measurement, root mean square of (a - b) / sqrt 2
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from forgetcast.completion.arguments import floats_of
from forgetcast.completion.metrics import recall
from forgetcast.completion.types import Floats
from forgetcast.errors import NotFinite, WrongShape


@dataclass(frozen=True, eq=False)
class Repeat:
    """A task measured twice. first, second : (n,) floats, nats per token, of the cells that both have, n at least 1"""

    task_id: str
    first: Floats
    second: Floats

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


def repeat_noise(repeats: Sequence[Repeat], variance: float) -> dict[str, Any]:
    """Noise of a cell and of a row mean, every repeated task weighing the same, and the R2 it leaves.

    ``variance`` is that of all known cells. JSON-ready; figures that cannot be formed are None.
    """
    tasks = [_figures(repeat) for repeat in repeats]
    cell_variance = float(np.mean([task["cell_sd"] ** 2 for task in tasks]))
    return {
        "from": "repeats",
        "cell_sd": cell_variance**0.5,
        "row_mean_sd": float(np.sqrt(np.mean([task["row_mean_difference"] ** 2 for task in tasks]) / 2)),
        "r2_ceiling": r2_ceiling(cell_variance, variance),
        "repeats": tasks,
    }


def r2_ceiling(cell_variance: float, variance: float) -> float | None:
    """Share of the cells' variance that is no noise."""
    return max(0.0, 1.0 - cell_variance / variance) if variance > 0 else None


def _figures(repeat: Repeat) -> dict[str, Any]:
    a, b = repeat.first, repeat.second
    varies = a.size > 1 and np.ptp(a) > 0 and np.ptp(b) > 0
    return {
        "task": repeat.task_id,
        "n_cells": int(a.size),
        "cell_sd": float(np.sqrt(np.mean((a - b) ** 2) / 2)),
        "row_mean_difference": float(b.mean() - a.mean()),
        "correlation": float(np.corrcoef(a, b)[0, 1]) if varies else None,
        "top_5pct_overlap": recall(b, a),
    }
