"""Tasks that were measured once more, and what is known of how a row came about.

A repeat is no known row: it says how far two measurements of a task are apart, and nothing learns from it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.arguments import whole_number
from forgetcast.completion.types import Mask, Values
from forgetcast.errors import WrongKind, WrongRepeat


@dataclass(frozen=True)
class Origin:
    """How a row was made; None is what nobody has said.

    seed : of fine-tuning
    n_examples : how many examples the task was fine-tuned on
    dataset : sha256 of them
    """

    seed: int | None = None
    n_examples: int | None = None
    dataset: str | None = None

    def __post_init__(self) -> None:
        for name, least in (("seed", 0), ("n_examples", 1)):
            if getattr(self, name) is not None:
                whole_number(f"{name} of a row", getattr(self, name), at_least=least)
        if self.dataset == "":
            raise WrongKind("dataset of a row must be the sha256 of its fine-tuning data, or None.")


@dataclass(frozen=True, eq=False)
class RepeatedRow:
    """Another measurement of a known task. forgetting, observed : (N,), as those of the matrix

    task_id : its own; no other row has it
    repeat_of : id of the known row
    """

    task_id: str
    repeat_of: str
    forgetting: Values
    observed: Mask
    family: str | None = None
    origin: Origin = Origin()

    def with_examples(self, positions: Sequence[int] | NDArray[np.intp]) -> RepeatedRow | None:
        """The row of these upstream examples only; None when none of them was measured."""
        kept = replace(self, forgetting=self.forgetting[positions], observed=self.observed[positions])
        return kept if kept.observed.any() else None


def check_repeats(repeat_of: Mapping[str, str | None]) -> None:
    """Refuse repeats of themselves, of other repeats and of nothing. `repeat_of`: task id -> the task it repeats.

    Raises
    ------
    WrongRepeat
    """
    for task, repeated in repeat_of.items():
        if repeated is None:
            continue
        if repeated == task:
            raise WrongRepeat(f"The row {task!r} is said to repeat itself; a repeat has an id of its own.")
        if repeated not in repeat_of:
            raise WrongRepeat(f"The row {task!r} is said to repeat {repeated!r}, which is no row of the matrix.")
        if repeat_of[repeated] is not None:
            raise WrongRepeat(
                f"The row {task!r} is said to repeat {repeated!r}, which repeats {repeat_of[repeated]!r} itself; "
                "a repeat names the known row."
            )
