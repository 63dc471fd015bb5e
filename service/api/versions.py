"""Group reads: the reads of one moment learn in one statement which versions their answers rest on.

A statement is sent after every request that it serves has arrived, so nobody is answered with what was true before they
asked. While it is under way the next requests gather; so the busier the service, the fewer statements a request costs.
"""

from __future__ import annotations

import asyncio
import re
from concurrent.futures import ThreadPoolExecutor

from forgetcast import schemas
from forgetcast.completion import MODEL_VERSION
from service.storage.database import Database
from service.storage.versions import TaskVersions, read_versions

ID = re.compile(schemas.ID_PATTERN)


class VersionReader:
    """One a process, used from its event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, "versions")  # anyio's way to a thread costs three times as much
        self._waiting: dict[str, asyncio.Future[TaskVersions | None]] = {}
        self._reading: asyncio.Task[None] | None = None

    async def of(self, task_id: str) -> TaskVersions | None:
        """Versions of a task as they are now; None when there is no such task. Raises DatabaseUnavailable."""
        if not ID.fullmatch(task_id):  # what a database refuses would be refused for all who share the statement
            return None
        answer = self._waiting.get(task_id)
        if answer is None:
            answer = self._waiting[task_id] = asyncio.get_running_loop().create_future()
        if self._reading is None:
            self._reading = asyncio.create_task(self._read())
        # Shielded: one of several that wait may leave, and its cancelling must not reach the others.
        return await asyncio.shield(answer)

    async def _read(self) -> None:
        try:
            while self._waiting:
                asked, self._waiting = self._waiting, {}
                try:
                    found = await asyncio.get_running_loop().run_in_executor(self._thread, self._versions, list(asked))
                except Exception as error:
                    for answer in asked.values():
                        answer.set_exception(error)
                        answer.exception()  # seen, also when everybody who waited has left
                else:
                    for task_id, answer in asked.items():
                        answer.set_result(found.get(task_id))
        finally:
            self._reading = None

    def _versions(self, task_ids: list[str]) -> dict[str, TaskVersions]:
        with self._database.statement() as connection:
            return read_versions(connection, task_ids, MODEL_VERSION)
