"""Who asks: the layer that admits a request by its API key, before the body is read and before any route is chosen.

Whatever is not in OPEN_PATHS needs a key, also a path that does not exist, so a new route is closed until it is opened.
"""

from __future__ import annotations

import time
from typing import Any

from cachetools import TTLCache
from starlette.concurrency import run_in_threadpool

from forgetcast.errors import Unauthenticated
from service.api.asgi import App, Receive, Scope, Send, header
from service.api.rates import Rates
from service.operations.keys import ANYBODY, Caller, authenticate, has_keys
from service.settings import Settings
from service.storage.database import Database

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json"})
REMEMBERED = 4.0  # seconds; a revoked key works for no longer, in whichever process it was revoked


class Access:
    """ASGI layer that sets scope["caller"] or raises Unauthenticated or RateLimited."""

    def __init__(self, app: App, settings: Settings, database: Database) -> None:
        self._app = app
        self._settings = settings
        self._database = database
        self._rates = Rates(settings)
        self._known: TTLCache[str, Caller] = TTLCache(maxsize=1000, ttl=REMEMBERED)
        self._open_until = 0.0
        self._was_closed = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                scope["caller"] = await self._admitted(scope)
            except Unauthenticated:
                await self._read_to_its_end(scope, receive)
                raise
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Caller:
        if self._is_open_still():
            return ANYBODY
        kind, _, key = header(scope, b"authorization").partition(" ")
        presented = key.strip() if kind.lower() == "bearer" else ""
        caller = self._known.get(presented)
        if caller is None:
            caller = await self._looked_up(scope, presented)
        if caller.key_id is not None:
            await self._rates.count_request(caller.key_id)
        return caller

    async def _looked_up(self, scope: Scope, presented: str) -> Caller:
        try:
            caller = await run_in_threadpool(self._authenticate, presented)
        except Unauthenticated:
            if header(scope, b"authorization"):  # without one nobody guesses at keys
                await self._rates.count_failure((scope.get("client") or ("",))[0])
            raise
        if caller.key_id is not None:
            self._known[presented] = caller
        return caller

    def _authenticate(self, presented: str) -> Caller:
        with self._database.read() as session:
            if not self._was_closed:
                if not has_keys(session):
                    self._open_until = time.monotonic() + REMEMBERED
                    return ANYBODY
                self._was_closed = True  # for good: keys are revoked, never deleted
            return authenticate(session, presented)

    def _is_open_still(self) -> bool:
        """While no key was ever made every request is admitted, and only loopback is bound; a first key closes it."""
        return time.monotonic() < self._open_until

    async def _read_to_its_end(self, scope: Scope, receive: Receive) -> None:
        """Throw a small body away, so that the answer reaches a sender that is still sending; a large one is 413."""
        scope["most_bytes"] = self._settings.max_body_bytes
        message: Any = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
