"""Rows ordered through ordinary jobs; after each, what forecasts are worth now and what more rows would bring."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from forgetcast.cli.output import note, say
from forgetcast.cli.progress import follow_progress
from forgetcast.cli.seeding.costs import Costs, seconds_of, spell
from forgetcast.cli.seeding.pool import Candidate
from forgetcast.cli.seeding.state import Standing, order_of, standing
from forgetcast.errors import JobFailed, TooFewRows

if TYPE_CHECKING:
    from forgetcast.client import ForgetcastClient
    from forgetcast.completion.reports.rows_ahead import RowsAhead
    from forgetcast.completion.types import Floats
    from forgetcast.schemas import Task

LOOK_EVERY = 3.0  # seconds, at several jobs
MOST_CELLS = 20_000_000  # known cells beyond which the service alone says what forecasts are worth
PAYS = 0.01  # share of the error that four rows more must bring
NEXT_ROWS = (1, 4)
FEWEST_TO_STOP = 8


@dataclass(frozen=True)
class Limits:
    """When to stop; `most_rows` the matrix shall have."""

    most_rows: int
    budget: timedelta | None = None
    until_error: float | None = None
    while_it_pays: bool = True


@dataclass
class Run:
    """One run of `forgetcast seed`. Everything it must know again after it was stopped is with the service."""

    client: ForgetcastClient
    matrix: str
    candidates: Sequence[Candidate]
    likeness: Floats
    limits: Limits
    costs: Costs | None
    n_workers: int
    quiet: bool = False
    began: float = field(default_factory=time.monotonic)
    failed_here: set[int] = field(default_factory=set)
    idle_gains: int = 0

    def go(self) -> int:
        """Order and wait until a limit is met or nothing is left; how many rows the matrix has then.

        Raises
        ------
        JobFailed : the first rows failed, so that others would too
        """
        while True:
            now, tasks = standing(self.client, self.matrix, self.candidates)
            n_rows = sum(task.known for task in tasks)
            if len(now.active) < self.n_workers and self._may_order(n_rows + len(now.active)):
                place = next(iter(self._to_come(now)), None)
                if place is not None:
                    self._order(place, now)
                    continue
            if not now.active:
                return n_rows
            if self._wait(now) and self._is_enough():
                return n_rows + 1

    def _may_order(self, n_rows: int) -> bool:
        if n_rows >= self.limits.most_rows:
            return False
        if self.limits.budget is None:
            return True
        row = 0.0 if self.costs is None else self.costs.row
        return time.monotonic() - self.began + row <= self.limits.budget.total_seconds()

    def _to_come(self, now: Standing) -> list[int]:
        """Those whose job failed before are tried again, after the others."""
        order = order_of(self.client, self.matrix, self.candidates, now, self.likeness)
        return [*order, *(place for place in now.failed if place not in self.failed_here)]

    def _order(self, place: int, now: Standing) -> None:
        one = self.candidates[place]
        known = now.task_of.get(place)
        if known is not None:
            task = self.client.tasks.get(known.id)
            task.measure_again()
        else:
            task = self.client.tasks.create(
                one.file,
                matrix=self.matrix,
                id=_free_id(self.client, one.id, self.matrix),
                measure="full",
                family=one.family,
                name=one.file.name,
            )
        note(f"ordered {task.id}: {one.about}")
        for warning in task.task.warnings:
            note(f"warning: {warning}")

    def _wait(self, now: Standing) -> bool:
        """Until one job ends; whether it left a row."""
        place = self._first_to_end(now)
        task = self.client.tasks.get(now.task_of[place].id)
        try:
            with follow_progress(quiet=self.quiet or len(now.active) > 1) as show:
                job = task.wait(on_event=show)
        except JobFailed as error:
            self.failed_here.add(place)
            if len(self.failed_here) > 1 and not now.known:
                raise
            note(f"{task.id} is left out: {error}")
            return False
        say(f"{task.id}: row measured in {spell(seconds_of(job))}")
        return True

    def _first_to_end(self, now: Standing) -> int:
        if len(now.active) == 1:
            return now.active[0]
        while True:
            for place in now.active:
                job = now.task_of[place].job
                if job is None or self.client.jobs.get(job).terminal:
                    return place
            time.sleep(LOOK_EVERY)

    def _is_enough(self) -> bool:
        """Say what the rows are worth; whether no more are wanted."""
        found = self._worth()
        if found is None:
            return False
        say(worth_said(found))
        if self.limits.until_error is not None and found.error <= self.limits.until_error:
            say(f"the error asked for, {self.limits.until_error:g}, is reached")
            return True
        pays = found.after(NEXT_ROWS[-1]) < (1 - PAYS) * found.error
        self.idle_gains = 0 if pays else self.idle_gains + 1
        if self.limits.while_it_pays and self.idle_gains > 1 and found.n_rows >= FEWEST_TO_STOP:
            say("more rows no longer pay; `--max-rows` measures more all the same")
            return True
        return False

    def _worth(self) -> RowsAhead | None:
        from forgetcast.completion.reports.rows_ahead import rows_ahead

        matrix = self.client.matrices.get(self.matrix)
        if matrix.n_tasks * matrix.n_examples > MOST_CELLS:
            return None
        try:
            return rows_ahead(self.client.matrices.known(self.matrix))
        except TooFewRows as error:
            note(f"{matrix.n_tasks} known row{'' if matrix.n_tasks == 1 else 's'}: {error}")
            return None


def worth_said(found: RowsAhead) -> str:
    """What rows are worth and what more are expected to bring, on one line."""
    how = "their families left out" if found.left_out == "families" else "each left out alone"
    more = " and ".join(f"{n} row{'' if n == 1 else 's'} more to {found.after(n):.3g}" for n in NEXT_ROWS)
    return (
        f"{found.n_rows} rows: a forecast for a new task is off by about {found.error:.3g} nats per token, "
        f"{found.rel:.2f} of what column means are ({how}); expected to fall with {more}"
    )


def _free_id(client: ForgetcastClient, wanted: str, matrix: str) -> str:
    """The candidate's own id, or one with the matrix's before it where another task has that."""
    taken = {task.id for task in _all_tasks(client)}
    return next(name for name in (wanted, f"{matrix}-{wanted}"[:128], *_numbered(wanted)) if name not in taken)


def _numbered(name: str) -> list[str]:
    return [f"{name}-{number}" for number in range(2, 1000)]


def _all_tasks(client: ForgetcastClient) -> Sequence[Task]:
    return list(client.tasks.list())
