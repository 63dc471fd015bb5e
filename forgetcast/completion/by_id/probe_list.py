"""Which examples to measure for a new task, by id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np

from forgetcast.completion.by_id.data_frame import data_frame
from forgetcast.completion.selection.probes import ProbeSet
from forgetcast.completion.types import Floats, Indices, Mask


@dataclass(frozen=True, eq=False, repr=False)
class ProbeList(Sequence[str]):
    """The ids to measure, the most telling first; a beginning of them is a set for whoever can measure fewer.

    ids : S example ids
    at_random : those of them that were drawn at random. They alone say how far the task strays from the known ones
    expected_error : (S + 1,) floats, nats per token, of the cells outside: before the first and after every probe
    domains : of every id, or None
    """

    ids: tuple[str, ...]
    at_random: tuple[str, ...]
    expected_error: Floats
    domains: tuple[str, ...] | None

    def __len__(self) -> int:
        return len(self.ids)

    @overload
    def __getitem__(self, place: int) -> str: ...

    @overload
    def __getitem__(self, place: slice) -> tuple[str, ...]: ...

    def __getitem__(self, place: int | slice) -> str | tuple[str, ...]:
        return self.ids[place]

    def __repr__(self) -> str:
        before, after = self.expected_error[[0, -1]]
        return (
            f"ProbeList({len(self)} examples, {len(self.at_random)} of them drawn at random; "
            f"expected error {before:.3f} without them, {after:.3f} with them)"
        )

    def to_dict(self) -> dict[str, list[Any]]:
        """Columns by name: example_id, domain where it is known, at_random, and expected_error once it is measured."""
        drawn = set(self.at_random)
        columns: dict[str, list[Any]] = {"example_id": list(self.ids)}
        if self.domains is not None:
            columns["domain"] = list(self.domains)
        at_random = [one in drawn for one in self.ids]
        return columns | {"at_random": at_random, "expected_error": self.expected_error[1:].tolist()}

    def to_frame(self) -> Any:
        """The same as a pandas DataFrame, by example id. Raises ConfigurationError where there is no pandas."""
        return data_frame(self.to_dict(), index="example_id")


def drawn_at_random(measured: Indices, handed_out: Sequence[ProbeSet], usual: ProbeSet) -> Mask:
    """Which measured cells may be taken for a random draw, where nobody says it. (S,)

    Those that were drawn, of the newest probe set that has all of them; the usual set, which is the same in every
    process, may be one that another handed out. Of other cells all but those that some set chose for what they tell.
    """
    for probes in [*reversed(handed_out), usual]:
        if np.isin(measured, probes.positions).all():
            return np.isin(measured, probes.positions[probes.at_random])
    chosen = [probes.positions[~probes.at_random] for probes in handed_out]
    return ~np.isin(measured, np.concatenate(chosen)) if chosen else np.ones(measured.size, dtype=np.bool_)
