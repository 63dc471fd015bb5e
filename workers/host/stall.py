"""Whether a child still gets on. That it is alive, or keeps saying the same, is not enough."""

from __future__ import annotations

import time
from datetime import timedelta

from forgetcast.schemas import Progress
from workers.host.child import ChildEvent

LOADING = ("load",)  # phases whose single step may take long: libraries and a model from a slow disk
PATIENCE_WHILE_LOADING = 4


class StallClock:
    """Runs from the last new place, phase and step, that a child has told."""

    def __init__(self, limit: timedelta) -> None:
        self._limit = limit
        self._place: tuple[str, int] | None = None
        self._since = time.monotonic()

    def note(self, event: ChildEvent) -> None:
        if isinstance(event, Progress) and (event.phase, event.step) != self._place:
            self._place, self._since = (event.phase, event.step), time.monotonic()

    def complaint(self) -> str | None:
        """What to say of a child that has stalled; None of one that gets on."""
        phase = "load" if self._place is None else self._place[0]
        limit = self._limit * (PATIENCE_WHILE_LOADING if phase in LOADING else 1)
        silent = time.monotonic() - self._since
        if silent < limit.total_seconds():
            return None
        return f"no progress for {silent:.0f} s in phase {phase!r}"
