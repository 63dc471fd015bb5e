"""What a training run asks of the service: which probes to measure, and what it will forget. Bounded in time.

A run never waits longer than it was told to and never fails of this: whoever calls `within` gets an answer or an error
by the deadline, whatever hangs.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

from forgetcast.client import ForgetcastClient
from forgetcast.errors import NotMeasured, TooManyExamplesAsked, WaitTimedOut
from forgetcast.schemas import Cell, Forecast, MeasurementsCreate, Recipe, Setting, Shape

T = TypeVar("T")
FEWEST_PROBES = 3  # below, nobody can say whether a row is like the known ones
ONE_CALL = timedelta(seconds=10)


class Named(Shape):
    """What the service named at the start: probes (example id, whether drawn at random), setting and recipe."""

    probes: list[tuple[str, bool]]
    setting: Setting
    recipe: Recipe


@dataclass(frozen=True)
class Service:
    """The service, as one run sees it.

    `client`: one of the user's; else one is made of the environment for every conversation.
    """

    matrix: str
    client: ForgetcastClient | None = None
    family: str | None = None

    def name_probes(self, size: int, seed: int, known: set[str]) -> Named:
        """The probes among the `known` examples. Raises TooManyExamplesAsked when too few of them are there."""
        with self._speaking() as client:
            matrix = client.matrices.get(self.matrix)
            chosen = client.matrices.probe_set(self.matrix, size=size, seed=seed)
        probes = [(probe.example_id, probe.at_random) for probe in chosen.data if probe.example_id in known]
        if len(probes) < FEWEST_PROBES:
            raise TooManyExamplesAsked(
                f"{len(probes)} of the {len(chosen.data)} probes of the matrix {self.matrix!r} are in the pool, and "
                f"{FEWEST_PROBES} are needed; give it all upstream examples, the held-out ones too"
            )
        return Named(probes=probes, setting=matrix.setting, recipe=matrix.recipe)

    def post(
        self,
        named: Named,
        recipe: Recipe,
        values: Mapping[str, tuple[float, float]],
        *,
        task_id: str | None,
        n_examples: int,
        seed: int,
        source: str,
    ) -> str:
        """Post log-perplexities before and after, by example id, as one task; its id.

        Raises
        ------
        NotMeasured : the service stored the cells and has no forecast yet
        """
        at_random = dict(named.probes)
        cells = [
            Cell(example_id=name, before=before, after=after, at_random=at_random[name])
            for name, (before, after) in values.items()
        ]
        posted = MeasurementsCreate(setting=named.setting, recipe=recipe, source=source, seed=seed, cells=cells)
        with self._speaking() as client:
            task = client.tasks.create(
                matrix=self.matrix, id=task_id, measure="none", n_examples=n_examples, family=self.family, seed=seed
            )
            answer = client.tasks.post_measurements(task.id, posted)
        if not isinstance(answer, Forecast):
            raise NotMeasured(f"there is no forecast yet: {'; '.join(answer.warnings) or 'the matrix is not fitted'}")
        return task.id

    def forecast(self, task_id: str) -> dict[str, float]:
        """Forecast forgetting by example id, nats per token."""
        with self._speaking() as client:
            table = client.tasks.to_table(task_id)
        ids, values = (table[name].to_pylist() for name in ("example_id", "forgetting"))
        return {name: value for name, value in zip(ids, values, strict=True) if value is not None}

    def _speaking(self) -> ForgetcastClient | nullcontext[ForgetcastClient]:
        return ForgetcastClient(timeout=ONE_CALL) if self.client is None else nullcontext(self.client)


def within(limit: timedelta, work: Callable[[], T]) -> T:
    """What `work` gives, or its error; WaitTimedOut after the limit, whatever it hangs in. It is left behind then."""
    outcome: queue.SimpleQueue[tuple[bool, T | BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((True, work()))
        except BaseException as error:
            outcome.put((False, error))

    threading.Thread(target=run, name="forgetcast", daemon=True).start()
    try:
        done, found = outcome.get(timeout=limit.total_seconds())
    except queue.Empty:
        raise WaitTimedOut(f"the service took longer than {limit.total_seconds():g} s") from None
    if not done:
        assert isinstance(found, BaseException)
        raise found
    return found  # type: ignore[return-value]
