"""Bulk downloads: made chunk by chunk in a thread as the client takes them, holding no database connection."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Protocol

from fastapi.responses import StreamingResponse
from starlette.concurrency import iterate_in_threadpool
from starlette.types import Receive, Scope, Send


class Closeable(Protocol):
    def close(self) -> None: ...


class Download(StreamingResponse):
    """A body as chunks. The source is closed at the end, also when the client leaves in the middle or wants none."""

    def __init__(
        self,
        chunks: Generator[bytes],
        media_type: str,
        headers: Mapping[str, str],
        n_bytes: int | None = None,
        *,
        held: Closeable | None = None,
    ) -> None:
        """`held`: what a source of which nothing was taken would leave open."""
        length = {} if n_bytes is None else {"Content-Length": str(n_bytes)}
        super().__init__(iterate_in_threadpool(chunks), media_type=media_type, headers={**headers, **length})
        self._chunks = chunks
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._chunks.close()
            if self._held is not None:
                self._held.close()
