"""Names of the ASGI types that the layers around the app work with."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


LISTS = frozenset({b"accept", b"accept-encoding", b"if-none-match"})  # of which several lines are one list
SINGLE = frozenset({b"authorization", b"content-type", b"host", b"idempotency-key", b"last-event-id", b"origin"})


def header(scope: Scope, name: bytes) -> str:
    """The first header of this lower-case name; empty when there is none."""
    for found, value in scope["headers"]:
        if found == name:
            return bytes(value).decode("latin-1")
    return ""
