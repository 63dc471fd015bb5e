"""Keyset cursors: where the next page of one list begins, opaque to the caller and of no use for another list."""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, TypeVar

from fastapi import Depends, Query, Request

from forgetcast.errors import FieldError, InvalidRequest
from forgetcast.schemas import Page

T = TypeVar("T")

MARK_BYTES = 6  # of a cursor, that say which list it is of
WHERE = frozenset({"limit", "cursor", "after"})  # query parameters that move in a list; the others make it


@dataclass(frozen=True)
class Paging:
    """What a caller wants of a list: at most `limit` entries, from beyond its cursor."""

    limit: int
    cursor: str | None
    mark: bytes

    @property
    def after(self) -> str:
        """The key that the cursor stands for; empty for the first page. Raises InvalidRequest."""
        if not self.cursor:
            return ""
        try:
            content = base64.b64decode(self.cursor + "=" * (-len(self.cursor) % 4), altchars=b"-_", validate=True)
            mark, key = content[:MARK_BYTES], content[MARK_BYTES:].decode()
        except (binascii.Error, UnicodeDecodeError, ValueError) as error:
            raise _not_of_this_list() from error
        if mark != self.mark or not key:
            raise _not_of_this_list()
        return key

    @property
    def after_position(self) -> int:
        """The position that the cursor stands for; -1 for the first page. Raises InvalidRequest."""
        key = self.after
        if key and not (key.isdecimal() and len(key) < 19):
            raise _not_of_this_list()
        return int(key) if key else -1

    def page(self, found: Sequence[tuple[str, T]]) -> Page[T]:
        """A page of at most `limit` from up to limit + 1 found entries, each with its key."""
        shown = found[: self.limit]
        has_more = len(found) > self.limit
        cursor = None
        if has_more:
            cursor = base64.urlsafe_b64encode(self.mark + shown[-1][0].encode()).decode().rstrip("=")
        return Page(data=[entry for _key, entry in shown], has_more=has_more, next_cursor=cursor)

    def page_of_all(self, entries: Mapping[str, T]) -> Page[T]:
        """A page of a list that is at hand as a whole, by key."""
        return self.page([(key, entry) for key, entry in sorted(entries.items()) if key > self.after])


def paging(default: int) -> Callable[..., Awaitable[Paging]]:
    """A dependency: the paging of a list that shows so many entries by default."""

    async def asked(
        request: Request, limit: Annotated[int, Query(ge=1, le=1000)] = default, cursor: str | None = None
    ) -> Paging:
        made_by = sorted(pair for pair in request.query_params.multi_items() if pair[0] not in WHERE)
        mark = hashlib.sha256(repr((request.url.path, made_by)).encode("utf-8", "surrogatepass")).digest()
        return Paging(limit, cursor, mark[:MARK_BYTES])

    return asked


Paged = Annotated[Paging, Depends(paging(20))]


def _not_of_this_list() -> InvalidRequest:
    detail = "the cursor is not one that this list gave out"
    return InvalidRequest(detail, errors=(FieldError("cursor", detail),))
