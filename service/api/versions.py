"""Group reads: the reads of one moment learn in one statement which versions their answers rest on.

A statement is sent after every request that it serves has arrived, so nobody is answered with what was true before they
asked. While it is under way the next requests gather; so the busier the service, the fewer statements a request costs.
"""

from __future__ import annotations

import asyncio
import re

from forgetcast.wording import ID_PATTERN
from service.storage.versions import TaskVersions, VersionsStatement

ID = re.compile(ID_PATTERN)


class VersionReader:
    """One a process, used from its event loop."""

    def __init__(self, statement: VersionsStatement) -> None:
        self._statement = statement
        self._waiting: dict[str, list[asyncio.Future[TaskVersions | None]]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, task_id: str) -> TaskVersions | None:
        """Versions of a task as they are now; None when there is no such task. Raises DatabaseUnavailable."""
        if not ID.fullmatch(task_id):  # what a database refuses would be refused for all who share the statement
            return None
        # One each, also for the same task: a request that leaves cancels its own.
        answer: asyncio.Future[TaskVersions | None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(task_id, []).append(answer)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        return await answer

    async def close(self) -> None:
        await self._statement.close()

    async def _read(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                found: dict[str, TaskVersions] = {}
                failure: Exception | None = None
                try:
                    found = await self._statement.versions(list(asked))
                except Exception as error:
                    failure = error
                for task_id, answers in asked.items():
                    for answer in answers:
                        if answer.cancelled():
                            continue
                        if failure is not None:
                            answer.set_exception(failure)
                        else:
                            answer.set_result(found.get(task_id))
        finally:
            self._reading = None
