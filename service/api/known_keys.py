"""The live API keys, in memory: read as a whole, so that nobody who asks costs a look-up of his own."""

from __future__ import annotations

import hmac
import time
from collections.abc import Sequence

from forgetcast.errors import Unauthenticated
from service.api.shared_looks import SharedLook
from service.operations.keys import ANYBODY, Caller, LiveKeys, live_keys
from service.storage.database import Database

REMEMBERED = 4.0  # seconds; a revoked key works for no longer, in whichever process it was revoked
LOOKS = 0.1  # seconds between two, however many ask with keys that are unknown


START_UP = (
    "this service has no API keys yet and asks for its start-up token, which `forgetcast` finds in the service's state "
    "folder: run it as the user who started the service, with the same FORGETCAST_HOME"
)


class KnownKeys:
    """Callers by the key they present. While no key was ever made, whoever has the start-up token is admitted."""

    def __init__(self, database: Database, token: str | None = None) -> None:
        """Without a `token` everybody is admitted until there is a key."""
        self._database = database
        self._token = token
        self._look = SharedLook[None, None](self._read, at_most_every=LOOKS)
        self._keys = LiveKeys({}, any_made=True)
        self.read_at = -REMEMBERED

    @property
    def any_made(self) -> bool:
        """Whether there was ever a key, as it was seen last."""
        return self._keys.any_made

    @property
    def fresh(self) -> bool:
        """Whether what is remembered may still be believed."""
        return time.monotonic() - self.read_at < REMEMBERED

    def remembered(self, presented: str) -> Caller | None:
        """The caller, where that can be told without a look."""
        return self._of(presented) if self.fresh else None

    async def caller(self, presented: str) -> Caller:
        """The caller, by a look that many share where it takes one. Raises Unauthenticated, DatabaseUnavailable."""
        found = self.remembered(presented)
        if found is None and not (self.fresh and LiveKeys.cannot_be(presented)):
            await self._look(None)
            found = self._of(presented)
        if found is None:
            raise Unauthenticated(*([] if self.any_made else [START_UP]))
        return found

    async def refresh(self) -> None:
        """Look again where what is remembered is too old. Raises DatabaseUnavailable."""
        if not self.fresh:
            await self._look(None)

    async def admits(self, presented: str) -> bool:
        """Whether this key still is a caller's, for a stream that outlives its first look."""
        try:
            return await self.caller(presented) is not None
        except Unauthenticated:
            return False

    def forget(self) -> None:
        """After a change of keys by this process, which then holds at once."""
        self.read_at = -REMEMBERED

    def close(self) -> None:
        self._look.close()

    def _of(self, presented: str) -> Caller | None:
        if self._keys.any_made:
            return self._keys.caller(presented)
        shows_token = self._token is None or hmac.compare_digest(presented.encode(), self._token.encode())
        return ANYBODY if shows_token else None

    def _read(self, asked: Sequence[None]) -> dict[None, None]:
        began = time.monotonic()
        with self._database.read() as session:
            self._keys = live_keys(session)
        self.read_at = began
        return dict.fromkeys(asked)
