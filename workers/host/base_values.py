"""Base values on their way into the database, as soon as a child has them: they are not lost with their host."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from forgetcast.schemas import Progress
from service.operations.job_material import record_base_values
from service.storage.database import Database
from workers.host.child import ChildEvent
from workers.job_directory import read_base_values

log = logging.getLogger(__name__)

MEASURING = "base"  # the phase in which they are measured


class BaseValuesKeeper:
    """Listens to a child, and writes the base values when it goes on to the next phase."""

    def __init__(self, database: Database, job_id: str, folder: Path, n_upstream: int) -> None:
        self._database, self._job_id, self._folder, self._n_upstream = database, job_id, folder, n_upstream
        self._measured = False

    def note(self, event: ChildEvent) -> None:
        if not isinstance(event, Progress):
            return
        if event.phase == MEASURING:
            self._measured = True
        else:
            self.end()

    def end(self) -> None:
        """The child has gone on, or is gone: keep what it has measured since it was last asked."""
        if self._measured:
            self._measured = False
            self._keep()

    def _keep(self) -> None:
        try:
            before = read_base_values(self._folder)
            if before.shape == (self._n_upstream,) and not np.isnan(before).any():
                with self._database.transaction() as session:
                    record_base_values(session, self._job_id, before)
        except Exception as error:  # the job's own end writes them again
            log.warning("job %s: cannot keep its base values yet: %s", self._job_id, type(error).__name__)
