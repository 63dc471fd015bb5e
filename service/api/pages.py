"""Keyset cursors: where the next page begins, opaque to the caller."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from typing import TypeVar

from forgetcast.errors import InvalidRequest
from forgetcast.schemas import Page

T = TypeVar("T")


def page(found: Sequence[tuple[str, T]], limit: int) -> Page[T]:
    """A page of at most `limit` from up to limit + 1 found entries, each with its key."""
    shown = found[:limit]
    has_more = len(found) > limit
    cursor = base64.urlsafe_b64encode(shown[-1][0].encode()).decode().rstrip("=") if has_more else None
    return Page(data=[entry for _key, entry in shown], has_more=has_more, next_cursor=cursor)


def after(cursor: str | None) -> str:
    """The key that a cursor stands for; empty for the first page. Raises InvalidRequest."""
    if not cursor:
        return ""
    try:
        return base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise InvalidRequest("the cursor is not one that this service gave out") from error


def after_position(cursor: str | None) -> int:
    """The position that a cursor stands for; -1 for the first page. Raises InvalidRequest."""
    key = after(cursor)
    if key and not (key.isdecimal() and len(key) < 19):
        raise InvalidRequest("the cursor is not one that this list gave out")
    return int(key) if key else -1
