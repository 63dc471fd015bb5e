"""One look for all who want to know: each gets an answer that was sought after it asked, in as few looks as may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

T = TypeVar("T")


class SharedLook(Generic[T]):
    """A question that a thread of its own answers, one look at a time; asked from one event loop."""

    def __init__(self, look: Callable[[], T], *, at_most_every: float = 0.0) -> None:
        self._look = look
        self._at_most_every = at_most_every
        self._looked = -at_most_every
        self._wanted: asyncio.Future[T] | None = None  # by all who asked since the look under way began
        self._looking: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def __call__(self) -> T:
        """What a look finds that begins after this call. Raises what it raises."""
        if self._wanted is None:
            self._wanted = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_while_wanted())
        return await asyncio.shield(self._wanted)

    def close(self) -> None:
        """Give back the thread; the next question takes another."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    async def _look_while_wanted(self) -> None:
        try:
            while self._wanted is not None:
                await asyncio.sleep(max(0.0, self._looked + self._at_most_every - time.monotonic()))
                wanted, self._wanted = self._wanted, None
                self._looked = time.monotonic()
                await self._answer(wanted)
        finally:
            self._looking = None

    async def _answer(self, wanted: asyncio.Future[T]) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "look")
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look)
        except Exception as error:
            wanted.set_exception(error)
            wanted.exception()  # whoever asked may have left
        else:
            wanted.set_result(found)
