"""Places: how many requests the service works for at a time, and how many only wait for events.

Whoever still sends a body, or still takes an answer, is not worked for and holds none: slowness costs a connection and
nothing else. Bodies on their way are counted by caller, so that no key keeps the others out.
"""

from __future__ import annotations

from collections import Counter
from enum import Enum, auto

from forgetcast.errors import Busy
from service.api.asgi import App, Message, Receive, Scope, Send, header
from service.settings import Settings

ALWAYS_ANSWERED = {"/healthz", "/readyz", "/metrics"}


class At(Enum):
    """Where a request is: at work, with its client, or waiting for events."""

    WORK = auto()
    CLIENT = auto()
    EVENTS = auto()


class Places:
    """ASGI layer inside the one that says who asks."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._app = app
        self._most_at_work = settings.concurrent_requests
        self._most_waiting = settings.waiting_requests
        self.at: Counter[At] = Counter()
        self.bodies: Counter[str | None] = Counter()  # on their way, by caller

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] in ALWAYS_ANSWERED:
            await self._app(scope, receive, send)
            return
        if self.at[At.WORK] >= self._most_at_work:
            raise Busy(f"{self.at[At.WORK]} requests are at work; try again in a moment", retry_after=1)
        caller = scope.get("caller")
        scope["place"] = place = Place(self, None if caller is None else caller.key_id)
        try:
            await self._app(scope, place.receiving(receive) if _has_body(scope) else receive, place.sending(send))
        finally:
            place.close()

    def check_waiting(self) -> None:
        if self.at[At.EVENTS] >= self._most_waiting:
            raise Busy(f"{self.at[At.EVENTS]} requests are waiting for events; poll instead", retry_after=5)

    def check_bodies(self, caller: str | None) -> None:
        if self.bodies[caller] >= self._most_at_work:
            raise Busy(f"{self.bodies[caller]} bodies of this caller are on their way; send fewer", retry_after=1)


class Place:
    """One request's place among the others."""

    def __init__(self, places: Places, caller: str | None) -> None:
        self._places = places
        self._caller = caller
        self._at = At.WORK
        self._sends_body = False
        places.at[At.WORK] += 1

    def wait(self) -> None:
        """Count as waiting for events from here on. Raises Busy when too many do."""
        if self._at is not At.EVENTS:
            self._places.check_waiting()
            self._go(At.EVENTS)

    def close(self) -> None:
        self._body_ended()
        self._places.at[self._at] -= 1

    def receiving(self, receive: Receive) -> Receive:
        """Receive a body, holding no place while its pieces come. The first call raises Busy, the others do not."""
        begun = ended = False

        async def received() -> Message:
            nonlocal begun, ended
            if ended:
                return await receive()  # the end of the connection, which may be far off
            if not begun:
                self._places.check_bodies(self._caller)
                begun = self._sends_body = True
                self._places.bodies[self._caller] += 1
            self._go(At.CLIENT)
            try:
                message = await receive()
            finally:
                self._go(At.WORK)
            if not message.get("more_body", False):
                ended = True
                self._body_ended()
            return message

        return received

    def sending(self, send: Send) -> Send:
        """Send an answer, holding no place until its pieces are taken."""

        async def sent(message: Message) -> None:
            if self._at is At.EVENTS:
                await send(message)
                return
            self._go(At.CLIENT)
            try:
                await send(message)
            finally:
                self._go(At.WORK)

        return sent

    def _go(self, where: At) -> None:
        self._places.at[self._at] -= 1
        self._places.at[where] += 1
        self._at = where

    def _body_ended(self) -> None:
        if self._sends_body:
            self._sends_body = False
            self._places.bodies[self._caller] -= 1
            if not self._places.bodies[self._caller]:
                del self._places.bodies[self._caller]


def _has_body(scope: Scope) -> bool:
    return header(scope, b"content-length") not in ("", "0") or header(scope, b"transfer-encoding") != ""
