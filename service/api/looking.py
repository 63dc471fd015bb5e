"""Questions that may hang, asked without hanging: what a probe needs while the database or the queue is away."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

T = TypeVar("T")

PATIENCE = 2.0  # seconds; a probe that waits longer is a failed one to whoever sent it


class Look(Generic[T]):
    """One question. It is asked in a thread of its own, one at a time, however many want to know the answer."""

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._asked: Future[T] | None = None

    async def __call__(self) -> T | None:
        """The answer, or None when there is none within two seconds. Raises what the question raises."""
        if self._asked is None or self._asked.done():
            self._asked = Future()
            # A daemon: a question that hangs must not hold the process when it ends.
            threading.Thread(target=_answer, args=(self._asked, self._ask), daemon=True).start()
        asked = asyncio.wrap_future(self._asked)
        await asyncio.wait({asked}, timeout=PATIENCE)
        return asked.result() if asked.done() else None


def _answer(asked: Future[T], ask: Callable[[], T]) -> None:
    try:
        asked.set_result(ask())
    except BaseException as error:
        asked.set_exception(error)
