"""Who asks: the layer that admits a request by its API key, before the body is read and before any route is chosen.

Whatever is not in OPEN_PATHS needs a key, also a path that does not exist, so a new route is closed until it is opened.
"""

from __future__ import annotations

import threading
import time
from functools import partial
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


class KnownKeys:
    """Callers by the key they presented, remembered for a few seconds; and whether keys are needed at all."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._callers: TTLCache[str, Caller] = TTLCache(maxsize=1000, ttl=REMEMBERED)
        self._lock = threading.Lock()
        self._open_until = 0.0
        self._was_closed = False

    def remembered(self, presented: str) -> Caller | None:
        """While no key was ever made everybody is admitted, and only loopback is bound; a first key closes it."""
        if time.monotonic() < self._open_until:
            return ANYBODY
        with self._lock:
            return self._callers.get(presented)

    def look_up(self, presented: str) -> Caller:
        """The caller, from the database. Raises Unauthenticated."""
        with self._database.read() as session:
            if not self._was_closed:
                if not has_keys(session):
                    self._open_until = time.monotonic() + REMEMBERED
                    return ANYBODY
                self._was_closed = True  # for good: keys are revoked, never deleted
            caller = authenticate(session, presented)
        with self._lock:
            self._callers[presented] = caller
        return caller

    def admits(self, presented: str) -> bool:
        """Whether this key still is a caller's, for a stream that outlives its first look."""
        try:
            return self.remembered(presented) is not None or self.look_up(presented) is not None
        except Unauthenticated:
            return False

    def forget(self) -> None:
        """After a change of keys by this process, which then holds at once."""
        self._open_until = 0.0
        with self._lock:
            self._callers.clear()


class Access:
    """ASGI layer that sets scope["caller"] or raises Unauthenticated or RateLimited."""

    def __init__(self, app: App, settings: Settings, keys: KnownKeys, rates: Rates) -> None:
        self._app = app
        self._settings = settings
        self._keys = keys
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in OPEN_PATHS:
            try:
                scope["caller"] = await self._admitted(scope)
            except Unauthenticated:
                await self._read_to_its_end(scope, receive)
                raise
        await self._app(scope, receive, send)

    async def _admitted(self, scope: Scope) -> Caller:
        kind, _, key = header(scope, b"authorization").partition(" ")
        presented = key.strip() if kind.lower() == "bearer" else ""
        caller = self._keys.remembered(presented)
        if caller is None:
            try:
                caller = await run_in_threadpool(self._keys.look_up, presented)
            except Unauthenticated:
                if header(scope, b"authorization"):  # without one nobody guesses at keys
                    await self._rates.count_failure((scope.get("client") or ("",))[0])
                raise
        if caller.key_id is not None:
            await self._rates.count_request(caller.key_id)
        scope["still_admitted"] = partial(self._keys.admits, presented)
        return caller

    async def _read_to_its_end(self, scope: Scope, receive: Receive) -> None:
        """Throw a small body away, so that the answer reaches a sender that is still sending; a large one is 413."""
        scope["most_bytes"] = self._settings.max_body_bytes
        message: Any = {"more_body": True}
        while message.get("more_body"):
            message = await receive()
