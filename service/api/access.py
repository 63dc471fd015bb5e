"""Who asks: the layer that admits a request by its API key, before the body is read and before any route is chosen.

Whatever is not in OPEN_PATHS needs a key, also a path that does not exist, so a new route is closed until it is opened.
"""

from __future__ import annotations

from functools import partial

from forgetcast.errors import Unauthenticated
from service.api.asgi import App, Receive, Scope, Send, header
from service.api.embedded import check_local
from service.api.known_keys import KnownKeys
from service.api.rates import Rates
from service.operations.keys import Caller

PAGE = "/docs"  # where a key or the start-up token is typed; it holds nothing that /openapi.json does not
OPEN_PATHS = frozenset({"/healthz", "/readyz", "/openapi.json", PAGE})
ASKED_BY_PROBES = OPEN_PATHS - {PAGE}  # by any name, also of a service that is for this machine alone


class Access:
    """ASGI layer that sets scope["caller"] or raises Unauthenticated, CrossSite or RateLimited."""

    def __init__(self, app: App, keys: KnownKeys, rates: Rates) -> None:
        self._app = app
        self._keys = keys
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] not in ASKED_BY_PROBES:
            await self._admit(scope)
        await self._app(scope, receive, send)

    async def _admit(self, scope: Scope) -> None:
        await self._keys.refresh()
        if not self._keys.any_made:
            check_local(scope)
        if scope["path"] in OPEN_PATHS:
            return
        scope["caller"] = await self._caller(scope)

    async def _caller(self, scope: Scope) -> Caller:
        kind, _, key = header(scope, b"authorization").partition(" ")
        presented = key.strip() if kind.lower() == "bearer" else ""
        caller = self._keys.remembered(presented)
        if caller is None:
            caller = await self._looked_for(presented, scope)
        if caller.key_id is not None:
            await self._rates.count_request(caller.key_id)
        scope["still_admitted"] = partial(self._keys.admits, presented)
        return caller

    async def _looked_for(self, presented: str, scope: Scope) -> Caller:
        address = (scope.get("client") or ("",))[0]
        guesses = header(scope, b"authorization") != ""  # without one nobody guesses at keys
        if guesses:
            self._rates.check_failures(address)
        try:
            return await self._keys.caller(presented)
        except Unauthenticated:
            if guesses:
                await self._rates.count_failure(address)
            raise
