"""One look for all who want to know: each gets an answer that was sought after it asked, in as few looks as may be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")


class SharedLook(Generic[K, T]):
    """Questions that a thread of its own answers, all that wait in one look; asked from one event loop."""

    def __init__(self, look: Callable[[Sequence[K]], Mapping[K, T | Exception]], *, at_most_every: float = 0.0) -> None:
        """`look` answers every question, with a value or with what is to be raised."""
        self._look = look
        self._at_most_every = at_most_every
        self._looked = -at_most_every
        self._wanted: dict[K, asyncio.Future[T]] = {}  # by all who asked since the look under way began
        self._looking: asyncio.Task[None] | None = None
        self._thread: ThreadPoolExecutor | None = None

    async def __call__(self, question: K) -> T:
        """What a look finds that begins after this call. Raises what it raises."""
        if question not in self._wanted:
            self._wanted[question] = asyncio.get_running_loop().create_future()
        if self._looking is None:
            self._looking = asyncio.create_task(self._look_while_wanted())
        return await asyncio.shield(self._wanted[question])

    def close(self) -> None:
        """Give back the thread; the next question takes another."""
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.shutdown(wait=False)

    async def _look_while_wanted(self) -> None:
        try:
            while self._wanted:
                await asyncio.sleep(max(0.0, self._looked + self._at_most_every - time.monotonic()))
                wanted, self._wanted = self._wanted, {}
                self._looked = time.monotonic()
                await self._answer(wanted)
        finally:
            self._looking = None

    async def _answer(self, wanted: Mapping[K, asyncio.Future[T]]) -> None:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "look")
        found: Mapping[K, T | Exception]
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._thread, self._look, list(wanted))
        except Exception as error:
            found = dict.fromkeys(wanted, error)
        for question, answer in wanted.items():
            value = found[question]
            if isinstance(value, Exception):
                answer.set_exception(value)
                answer.exception()  # whoever asked may have left
            else:
                answer.set_result(value)
