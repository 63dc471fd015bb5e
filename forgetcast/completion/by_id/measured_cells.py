"""Measured cells of a new task, as a notebook has them: values by id, or two sequences."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from forgetcast.completion.arguments import LARGEST_FORGETTING, real_number, unbelievable
from forgetcast.completion.by_id.example_ids import ExampleIds
from forgetcast.completion.types import Floats, Indices
from forgetcast.errors import NotFinite, WrongKind, WrongShape

FORMS = "a dict or a pandas Series of values by id, or two sequences, of ids and of values"


def measured_cells(cells: Any, values: Any, examples: ExampleIds) -> tuple[Indices, Floats]:
    """Positions and values, nats per token. (S,) both

    Parameters
    ----------
    cells : mapping or pandas Series, id -> forgetting; or ids, when ``values`` has as many numbers

    Raises
    ------
    WrongKind, WrongShape, UnknownExample, RepeatedExample, NotFinite, BeyondBelief
    """
    ids, numbers = _ids_and_numbers(cells, values)
    positions = examples.positions(ids)
    return positions, np.array([_value(*cell) for cell in zip(ids, numbers, strict=True)], dtype=np.float64)


def _ids_and_numbers(cells: Any, values: Any) -> tuple[list[Any], list[Any]]:
    by_id = isinstance(cells, Mapping) or (hasattr(cells, "items") and not hasattr(cells, "columns"))
    if by_id and values is None:
        pairs = list(cells.items())
        return [name for name, _ in pairs], [value for _, value in pairs]
    if by_id and not isinstance(cells, Mapping):  # a Series of ids beside one of values
        cells = cells.array
    if values is None or not _is_sequence(cells) or not _is_sequence(values):
        raise WrongKind(f"Measured cells must be {FORMS}.")
    ids, numbers = list(cells), list(values)
    if len(ids) != len(numbers):
        raise WrongShape(f"{len(ids)} ids, {len(numbers)} measured values.")
    return ids, numbers


def _is_sequence(given: Any) -> bool:
    return (
        isinstance(given, Iterable) and not isinstance(given, str | bytes | Mapping) and not hasattr(given, "columns")
    )


def _value(name: Any, value: Any) -> float:
    number = real_number(f"The forgetting of the example {name!r}", value)
    if math.isnan(number):
        raise NotFinite(f"The forgetting of the example {name!r} is NaN; leave it out if it was not measured.")
    if abs(number) > LARGEST_FORGETTING:
        raise unbelievable(number, f"of the example {name!r}")
    return number
