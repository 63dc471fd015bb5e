"""Ids of examples and where each stands; an id that is none is answered with the one that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from forgetcast.completion.matrix.ids import names_of
from forgetcast.completion.types import Indices
from forgetcast.errors import RepeatedExample, UnknownExample

MOST_COMPARED = 10_000  # ids beside one that is none, which takes half a second


class ExampleIds:
    """The ids of a matrix, in its order."""

    def __init__(self, ids: Sequence[str]) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids)

    def at(self, positions: Indices) -> list[str]:
        return [self.ids[position] for position in positions.tolist()]

    def positions(self, ids: Iterable[Any]) -> Indices:
        """Where these ids stand, in their order. (S,) ints, distinct

        Raises
        ------
        UnknownExample, RepeatedExample, WrongKind
        """
        names = names_of("Ids of examples", ids)
        unknown = [name for name in names if name not in self._position_of]
        if unknown:
            raise UnknownExample(self._unknown(unknown, len(names)))
        seen: set[str] = set()
        for name in names:
            if name in seen:
                raise RepeatedExample(f"The example {name!r} is named twice.")
            seen.add(name)
        return np.array([self._position_of[name] for name in names], dtype=np.intp)

    @cached_property
    def _position_of(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.ids)}

    def _unknown(self, unknown: Sequence[str], n_named: int) -> str:
        near = difflib.get_close_matches(unknown[0], self._comparable(unknown[0]), n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"its ids look like {self.ids[0]!r}."
        if len(unknown) == 1:
            return f"The matrix has no example {unknown[0]!r}; {hint}"
        return f"{len(unknown)} of the {n_named} ids name no example of the matrix, {unknown[0]!r} the first; {hint}"

    def _comparable(self, name: str) -> Sequence[str]:
        """Ids that a misspelt one is compared with: all, or of very many those that begin as it does."""
        if len(self) <= MOST_COMPARED:
            return self.ids
        beginning = name[: len(name) // 2]
        return [one for one in self.ids if one.startswith(beginning)][:MOST_COMPARED]
