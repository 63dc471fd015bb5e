"""Events of an attempt, as JSON lines that the supervisor reads."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO


class Reporter:
    """Events to the supervisor: which phase, how far, and how long each phase took."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self.seconds: dict[str, float] = {}

    @contextmanager
    def phase(self, name: str, total: int) -> Iterator[Callable[..., None]]:
        began = time.monotonic()

        def step(done: int, loss: float | None = None) -> None:
            elapsed = time.monotonic() - began
            eta = elapsed / done * (total - done) if done else None
            self.send({"phase": name, "step": done, "total": total, "loss": loss, "eta_s": eta})

        step(0)
        yield step
        self.seconds[name] = round(time.monotonic() - began, 3)

    def tell(self, message: str) -> None:
        self.send({"level": "info", "message": message})

    def warn(self, message: str) -> None:
        self.send({"level": "warn", "message": message})

    def send(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()
