"""Uploaded JSON Lines -> values, with the line and field of whatever is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any, BinaryIO, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError

from forgetcast import strict_json
from forgetcast.errors import FieldError, InvalidRequest, LimitExceeded
from forgetcast.wording import sentence

T = TypeVar("T", bound=BaseModel)

LONGEST_LINE = 16 << 20  # bytes


def parse_lines(source: BinaryIO, shape: type[T]) -> Iterator[tuple[int, T]]:
    """Each line as one value of this shape, with its number from 1; empty lines are skipped.

    Raises
    ------
    InvalidRequest : naming the line and the field
    LimitExceeded : a line that is too long to be held
    """
    for number, line in enumerate(iter(partial(source.readline, LONGEST_LINE + 1), b""), 1):
        if len(line) > LONGEST_LINE:
            raise LimitExceeded(f"line {number} is longer than the {LONGEST_LINE} bytes that a line may have")
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")  # the byte order mark that some editors write
        if line.strip():
            yield number, parse_value(load_json(line, number), shape, number)


def load_json(line: bytes, number: int) -> Any:
    """One line of JSON. Raises InvalidRequest, also for NaN and infinity, which are not JSON, and repeated names."""
    try:
        return strict_json.load(line)
    except ValueError as error:
        wrong_line(number, "", f"not a JSON value: {error}")


def parse_value(value: Any, shape: type[T], number: int) -> T:
    """A value of this shape. Raises InvalidRequest naming the line and the field."""
    try:
        return shape.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        wrong_line(number, "/".join(map(str, first["loc"])), sentence(first))


def wrong_line(number: int, field: str, detail: str) -> NoReturn:
    """Raise InvalidRequest for one line (from 1) and field (empty for the whole line)."""
    where = f"line {number}" + (f", field {field}" if field else "")
    pointer = f"/{number - 1}" + (f"/{field}" if field else "")
    raise InvalidRequest(f"{where}: {detail}", errors=(FieldError(pointer, detail),))
