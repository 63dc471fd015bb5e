"""A text -> JSON values, one after another, with their places: JSON Lines, an array, or objects over several lines.

White space between values is whatever JSON says, a carriage return alone included, and a byte order mark within a file
that was joined from several.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Iterator
from typing import Any, BinaryIO, NoReturn

from forgetcast.errors import BadDataset, LimitExceeded
from forgetcast.layouts.places import Place, Unusable

LONGEST = 16 << 20  # characters of one example
CHUNK = 1 << 18
SPACE = re.compile(r"[ \t\r\n\ufeff]*")
NEAR_THE_END = 12  # characters; a literal or an escape that the chunk cuts is shorter
CSV = "if it is CSV, pandas writes JSON Lines of it: read_csv(FILE).to_json(OUT, orient='records', lines=True)"


def json_values(source: BinaryIO, encoding: str) -> Iterator[tuple[Place, Any]]:
    """Every value with its place. Raises BadDataset where the text is no JSON, LimitExceeded for an endless value."""
    text = _Text(source, encoding)
    if text.next_character() == "[":
        yield from _items(text)
        return
    first = True
    while char := text.next_character():
        place = Place(text.line, f"line {text.line}")
        if char == ",":
            raise Unusable("", "a comma stands here; examples one a line have none between them").at(place)
        if first and char not in '{"' and not char.isdigit():
            raise Unusable("", f"not JSON: it begins with {text.beginning()!r}; {CSV}").at(place)
        yield place, text.value(place)
        first = False


def _items(text: _Text) -> Iterator[tuple[Place, Any]]:
    """The items of one array that is the whole file."""
    text.skip(1)
    number = 0
    while (char := text.next_character()) != "]":
        if not char:
            raise BadDataset("the array has no end; the file is cut off")
        number += 1
        place = Place(number, f"item {number} (line {text.line})")
        if number > 1:
            if char != ",":
                raise Unusable("", "the array ends too early: a comma or ] is missing before this").at(place)
            text.skip(1)
            text.next_character()
            place = Place(number, f"item {number} (line {text.line})")
        yield place, text.value(place)
    text.skip(1)
    if text.next_character():
        raise Unusable("", "more stands after the end of the array").at(Place(text.line, f"line {text.line}"))


class _Text:
    """A window on the text that moves on; `line` is that of its beginning, counted from 1."""

    def __init__(self, source: BinaryIO, encoding: str) -> None:
        self._source, self._encoding = source, encoding
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._json = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_refuse_constant)
        self._window, self._at, self._counted = "", 0, 0
        self._ended, self._broken = False, False
        self.line = 1

    def next_character(self) -> str:
        """The next character that is not white space, and the line it stands in; empty at the end."""
        while True:
            space = SPACE.match(self._window, self._at)
            assert space is not None
            self._at = space.end()
            if self._at < len(self._window):
                self._count_lines()
                return self._window[self._at]
            if not self._more():
                self._count_lines()
                return ""

    def skip(self, n_characters: int) -> None:
        self._at += n_characters

    def beginning(self) -> str:
        """The first words of the line at hand."""
        return self._window[self._at : self._at + 40].splitlines()[0]

    def value(self, place: Place) -> Any:
        """The JSON value that begins here."""
        while True:
            try:
                value, self._at = self._json.raw_decode(self._window, self._at)
            except json.JSONDecodeError as error:
                if not self._is_cut(error) or not self._more(at_least=len(self._window) - self._at):
                    raise self._no_json(place, f"{error.msg} at its character {error.pos - self._at + 1}") from error
            except (ValueError, RecursionError) as error:
                said = "nested too deep" if isinstance(error, RecursionError) else str(error)
                raise self._no_json(place, said) from error
            else:
                return value
            if len(self._window) - self._at > LONGEST:
                raise LimitExceeded(f"{place.words} is longer than the {LONGEST} characters that an example may have")

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the value may be whole once more of the text is here."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self._window) - NEAR_THE_END

    def _no_json(self, place: Place, said: str) -> BadDataset:
        return Unusable("", f"not JSON: {said}").at(place)

    def _more(self, at_least: int = 0) -> bool:
        """Read on; False at the end. Raises BadDataset where the bytes are no text."""
        if self._broken:
            self._refuse_bytes()
        if self._ended:
            return False
        self._count_lines()
        self._window, self._at, self._counted = self._window[self._at :], 0, 0
        chunk = self._source.read(max(CHUNK, at_least))
        self._ended = not chunk
        try:
            self._window += self._decoder.decode(chunk, final=self._ended)
        except UnicodeDecodeError as error:
            self._window += error.object[: error.start].decode(self._encoding)
            self._broken = True
        return True

    def _refuse_bytes(self) -> NoReturn:
        line = self.line + _line_ends(self._window[self._counted :])
        raise Unusable(
            "",
            f"not {self._encoding.upper()}; if the file is Latin-1 or from Windows, "
            "`iconv -f WINDOWS-1252 -t UTF-8 FILE` converts it",
        ).at(Place(line, f"line {line}"))

    def _count_lines(self) -> None:
        self.line += _line_ends(self._window[self._counted : self._at])
        self._counted = self._at


def _line_ends(text: str) -> int:
    return text.count("\n") + text.count("\r") - text.count("\r\n")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _value in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the field {twice!r} stands twice in one object")
    return made


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number in JSON")
