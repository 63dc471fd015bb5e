"""What every wire shape is made of: ids, counts, texts, lists."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Generic, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, StringConstraints

from forgetcast.wording import ID_PATTERN, SHA256_PATTERN

Id = Annotated[str, StringConstraints(pattern=ID_PATTERN)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256_PATTERN)]
Seed = Annotated[int, Field(ge=0, lt=2**31)]
DAY = 24 * 3600  # seconds
YEAR = 365 * DAY
Finite = Annotated[float, Field(allow_inf_nan=False)]
# Bidirectional marks let one id look like another in a terminal or a log.
_BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def check_example_id(value: str) -> str:
    """NFC, 1 to 512 bytes, no control or bidirectional characters; raises ValueError."""
    if not value or len(value.encode("utf-8", "surrogatepass")) > 512:
        raise ValueError("an example id has 1 to 512 bytes")
    if any(unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI for char in value):
        raise ValueError("an example id has no control, surrogate or bidirectional characters")
    if not unicodedata.is_normalized("NFC", value):
        raise ValueError("an example id is in Unicode normal form NFC")
    return value


def check_label(value: str) -> str:
    """What stands in tables and terminals: no control, surrogate or bidirectional characters; raises ValueError."""
    if not (value.isascii() and value.isprintable()) and any(
        unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in _BIDI for char in value
    ):
        raise ValueError("the text has control, surrogate or bidirectional characters, or ends a line")
    return value


def check_text(value: str) -> str:
    """No NUL and no half of a surrogate pair, which databases and files do not hold; raises ValueError."""
    if "\0" in value or (not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value)):
        raise ValueError("the text holds NUL or half of a surrogate pair")
    return value


Text = Annotated[str, AfterValidator(check_text)]
Label = Annotated[str, AfterValidator(check_label)]
# Of a long list the first element that is wrong is named: a sentence about each would be larger than the list.
FirstError = Field(fail_fast=True)
Count = Annotated[int, Field(ge=1, lt=2**31)]
ExampleId = Annotated[str, AfterValidator(check_example_id)]


class Shape(BaseModel):
    """Base of all wire shapes: unknown fields are refused, because a misspelt one would be ignored silently."""

    model_config = ConfigDict(extra="forbid", frozen=True)


T = TypeVar("T")


class Page(Shape, Generic[T]):
    """One page of a list; `next_cursor` is null on the last."""

    object: Literal["list"] = "list"
    data: list[T]
    has_more: bool
    next_cursor: str | None
