"""Where in a file something stands, and what is wrong there."""

from __future__ import annotations

from typing import NamedTuple

from forgetcast.errors import BadDataset, FieldError


class Place(NamedTuple):
    """One example's place: `number` from 1 for a JSON pointer, `words` for people."""

    number: int
    words: str


class Unusable(Exception):
    """An example cannot be used; `field` is a path such as messages/0/content, empty for the whole."""

    def __init__(self, field: str, detail: str) -> None:
        super().__init__(detail)
        self.field = field
        self.detail = detail

    def at(self, place: Place) -> BadDataset:
        """The same, with the place that the reader knows."""
        where = f"{place.words}, field {self.field}" if self.field else place.words
        pointer = f"/{place.number - 1}" + (f"/{self.field}" if self.field else "")
        return BadDataset(f"{where}: {self.detail}", errors=(FieldError(pointer, self.detail),))
