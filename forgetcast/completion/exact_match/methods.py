"""The methods that complete exact matches, by name.

`logistic` has factors beside a row shift, `additive` the row shift alone, `popularity` the columns alone: of the last
two every task gets the same ranking.
"""

from __future__ import annotations

from dataclasses import dataclass

from forgetcast.errors import UnknownMethod


@dataclass(frozen=True)
class ExactMatchMethod:
    """largest_rank : factors beside the row shift; with_shift : whether rows differ in how much they lose at all"""

    name: str
    largest_rank: int
    with_shift: bool

    @property
    def ranks_alike(self) -> bool:
        return self.largest_rank == 0


LOGISTIC = ExactMatchMethod("logistic", 5, True)
ADDITIVE = ExactMatchMethod("additive", 0, True)
POPULARITY = ExactMatchMethod("popularity", 0, False)
_METHODS = (LOGISTIC, ADDITIVE, POPULARITY)

EXACT_MATCH_METHODS = tuple(method.name for method in _METHODS)


def exact_match_method(name: str) -> ExactMatchMethod:
    """The method of this name.

    Raises
    ------
    UnknownMethod
    """
    for method in _METHODS:
        if method.name == name:
            return method
    raise UnknownMethod(f"No method for exact matches is called {name!r}; there are {', '.join(EXACT_MATCH_METHODS)}.")
