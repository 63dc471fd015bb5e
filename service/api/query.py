"""The query of a request, checked against what its route reads: what nobody reads is a slip, and no wish fulfilled."""

from __future__ import annotations

import difflib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any, get_args, get_origin

from fastapi import Request
from fastapi.dependencies.models import Dependant

from forgetcast.errors import FieldError, InvalidRequest

LONGEST_SHOWN = 64  # characters of a name that nobody knows
MOST_NAMED = 32


@dataclass(frozen=True)
class QueryNames:
    """The query parameters that a route reads, and those of them that may be repeated."""

    known: frozenset[str]
    lists: frozenset[str]

    @classmethod
    def of(cls, dependant: Dependant) -> QueryNames:
        read = dict(_parameters(dependant))
        return cls(frozenset(read), frozenset(name for name, is_list in read.items() if is_list))

    def check(self, request: Request) -> None:
        """Raises InvalidRequest for a parameter that is not read, or of which only one value would be."""
        if not request.scope["query_string"]:
            return
        times = Counter(name for name, _value in request.query_params.multi_items())
        wrong = tuple(islice(self._wrong(times), MOST_NAMED))
        if wrong:
            raise InvalidRequest(f"{wrong[0].pointer}: {wrong[0].detail}", errors=wrong)

    def _wrong(self, times: Mapping[str, int]) -> Iterator[FieldError]:
        for name, count in times.items():
            if name not in self.known:
                yield FieldError(name[:LONGEST_SHOWN], f"there is no such query parameter; {self._instead(name)}")
            elif count > 1 and name not in self.lists:
                yield FieldError(name, f"given {count} times; give it once")

    def _instead(self, name: str) -> str:
        near = difflib.get_close_matches(name[:LONGEST_SHOWN].lower(), self.known, 1)
        if near:
            return f"did you mean {near[0]}?"
        return f"known are {', '.join(sorted(self.known))}" if self.known else "there is none here"


def _parameters(dependant: Dependant) -> Iterator[tuple[str, bool]]:
    """Name of each, also of what the route depends on, and whether it is a list."""
    for found in dependant.query_params:
        yield found.alias, _is_list(found.field_info.annotation)
    for inner in dependant.dependencies:
        yield from _parameters(inner)


def _is_list(annotation: Any) -> bool:
    """Also of a list that may be absent."""
    return any(get_origin(kind) is list for kind in (annotation, *get_args(annotation)))
