"""Answers as wire shapes, also those of a newer service: what this client does not know does no harm."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from enum import StrEnum
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

S = TypeVar("S")

OF_A_CHOICE = ("enum", "literal_error")  # pydantic's words for a value that is none of those it knows
A_KNOWN_VALUE = re.compile(r"'([^']*)'")


def read_shape(kind: type[S], content: bytes | str) -> S:
    """The shape or dataclass, without fields that it does not have.

    A text that is none of the values it may have stays as it is: an event of a type that only a newer service has is
    still an event.

    Raises
    ------
    ValidationError
    """
    adapter = TypeAdapter(kind)
    try:
        return adapter.validate_json(content, extra="ignore")
    except ValidationError as error:
        unknown = error.errors(include_url=False)
        if not all(one["type"] in OF_A_CHOICE and isinstance(one["input"], str) for one in unknown):
            raise
    document = json.loads(content)
    for one in unknown:
        known = A_KNOWN_VALUE.search(one["ctx"]["expected"])
        assert known is not None
        _put(document, one["loc"], known[1])
    shape = adapter.validate_python(document, extra="ignore")
    for one in unknown:
        _put_back(shape, one["loc"], one["input"])
    return shape


def _put(document: Any, path: Sequence[int | str], value: str) -> None:
    for step in path[:-1]:
        document = document[step]
    document[path[-1]] = value


def _put_back(shape: Any, path: Sequence[int | str], value: str) -> None:
    for step in path[:-1]:
        shape = getattr(shape, step) if isinstance(step, str) and isinstance(shape, BaseModel) else shape[step]
    last = path[-1]
    if isinstance(shape, BaseModel):
        object.__setattr__(shape, str(last), _like(getattr(shape, str(last)), value))
    else:
        shape[last] = _like(shape[last], value)


def _like(known: Any, value: str) -> Any:
    """The value as what the known one is: a member of the same enumeration, so that it has a `value` and a `name`."""
    if not isinstance(known, StrEnum):
        return value
    member = str.__new__(type(known), value)
    member._name_, member._value_ = value.upper(), value
    return member
