"""Which task `forgetcast gate` judges: one that is there, or that of a file, submitted and waited for."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from forgetcast.cli.input_files import shown_name
from forgetcast.cli.output import note
from forgetcast.errors import NotMeasured

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient, TaskHandle


@dataclass(frozen=True)
class Judged:
    """A task by its id, by its fine-tuning data, or by both: then the id is the one that it is submitted under."""

    task: str | None
    dataset: Path | None
    matrix: str | None
    size: int
    wait: bool
    timeout: timedelta | None
    quiet: bool

    def measured(self, client: ForgetcastClient) -> str:
        """The task's id, once it is measured if that is to be waited for.

        Raises
        ------
        NotMeasured : a task that was submitted now, and is not to be waited for
        """
        if self.dataset is None:
            assert self.task is not None
            if self.wait:
                self._wait(client.tasks.get(self.task))
            return self.task
        task = self._submitted(client)
        if self.wait:
            self._wait(task)
        elif not task.task.n_measured:
            raise NotMeasured(f"the task {task.id} is not measured yet; --wait waits for it, and a later call finds it")
        return task.id

    def _submitted(self, client: ForgetcastClient) -> TaskHandle:
        from forgetcast.cli.dataset import check_dataset
        from forgetcast.cli.submission import only_matrix, submit

        assert self.dataset is not None
        found = check_dataset(self.dataset)
        if not self.quiet:
            note(f"{shown_name(self.dataset)}: {found.sentence}")
        matrix = self.matrix or only_matrix(client)
        return submit(client, self.dataset, matrix=matrix, task_id=self.task, size=self.size, quiet=self.quiet)

    def _wait(self, task: TaskHandle) -> None:
        from forgetcast.cli.submission import leave_running, wait

        with leave_running(task.id):
            wait(task, timeout=self.timeout, quiet=self.quiet)
