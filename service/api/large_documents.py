"""A large JSON object, read value by value: a parser that reads all of it at once keeps every other thread waiting."""

from __future__ import annotations

import re
from collections.abc import Iterator
from json import JSONDecodeError
from typing import Any, BinaryIO, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from forgetcast.errors import InvalidRequest, LimitExceeded
from forgetcast.strict_json import DECODER
from service.api.problems import MOST_NAMED, invalid_body

T = TypeVar("T", bound=BaseModel)
E = TypeVar("E", bound=BaseModel)

BLANK = re.compile(r"[ \t\n\r]*")


class LargeDocument(Generic[T, E]):
    """Documents of one shape, one of whose members is a list of many elements."""

    def __init__(self, shape: type[T], member: str, element: type[E]) -> None:
        self._shape, self._member, self._element = shape, member, element

    def read(self, source: BinaryIO, most: int) -> T:
        """The document in this file.

        Raises
        ------
        InvalidRequest : naming what is wrong, of many things the first few dozen
        LimitExceeded : more than `most` elements
        """
        try:
            text = _Text(source.read().decode("utf-8"))
            members = {name: self._value(name, text, most) for name in text.members()}
        except RecursionError:
            raise InvalidRequest("the body is nested too deep") from None
        except JSONDecodeError as error:
            raise InvalidRequest(f"body: not JSON: {error.msg} at character {error.pos}") from error
        except ValueError as error:
            raise InvalidRequest(f"the body: {error}") from error
        try:
            return self._shape.model_validate(members)
        except ValidationError as error:
            raise invalid_body(error.errors(include_url=False, include_input=False)) from error

    def _value(self, name: str, text: _Text, most: int) -> Any:
        if name != self._member or not text.is_at("["):
            return text.value()
        found: list[E] = []
        wrong: list[Any] = []
        for place, value in enumerate(text.elements()):
            if place >= most:
                raise LimitExceeded(f"/{name}: there are more than {most} to say anything about")
            try:
                found.append(self._element.model_validate(value))
            except ValidationError as error:
                wrong += [
                    {**one, "loc": (name, place, *one["loc"])}
                    for one in error.errors(include_url=False, include_input=False)
                ]
                if len(wrong) >= MOST_NAMED:
                    break
        if wrong:
            raise invalid_body(wrong)
        return found


class _Text:
    """A JSON text and a place in it. Whatever is not there raises JSONDecodeError."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._skip()

    def is_at(self, char: str) -> bool:
        return self._text.startswith(char, self._at)

    def value(self) -> Any:
        value, self._at = DECODER.raw_decode(self._text, self._at)
        self._skip()
        return value

    def members(self) -> Iterator[str]:
        """Names of the object that the text is, each followed by reading its value. Raises ValueError for repeats."""
        seen: set[str] = set()
        self._take("{", "an object is needed")
        while not self._takes("}"):
            if seen:
                self._take(",", "expecting ',' delimiter")
            name = self.value() if self.is_at('"') else self._wrong("expecting a name in double quotes")
            if name in seen:
                raise ValueError(f"the name {name[:64]!r} stands twice in one object")
            seen.add(name)
            self._take(":", "expecting ':' delimiter")
            yield name
        if self._at < len(self._text):
            self._wrong("extra data")

    def elements(self) -> Iterator[Any]:
        self._take("[", "a list is needed")
        first = True
        while not self._takes("]"):
            if not first:
                self._take(",", "expecting ',' delimiter")
            first = False
            yield self.value()

    def _takes(self, char: str) -> bool:
        if not self.is_at(char):
            return False
        self._at += 1
        self._skip()
        return True

    def _take(self, char: str, otherwise: str) -> None:
        if not self._takes(char):
            self._wrong(otherwise)

    def _wrong(self, what: str) -> Any:
        raise JSONDecodeError(what, self._text, self._at)

    def _skip(self) -> None:
        found = BLANK.match(self._text, self._at)
        assert found is not None  # it may be empty
        self._at = found.end()
