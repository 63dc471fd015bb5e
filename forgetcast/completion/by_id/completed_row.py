"""The completed row of one task, by example id.

Notation
    N  upstream examples      S  of them that were measured      M  known rows it rests on
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from forgetcast.completion.by_id.data_frame import data_frame
from forgetcast.completion.by_id.example_ids import ExampleIds
from forgetcast.completion.forecast_warnings import forecast_warnings
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices, Mask
from forgetcast.completion.uncertainty.probe_mean import Interval
from forgetcast.errors import UnknownReference


class CompletedCell(NamedTuple):
    """One example of a completed row: nats per token, positive is forgotten. A measured one has low = high."""

    example_id: str
    domain: str | None
    forgetting: float
    low: float
    high: float
    measured: bool


@dataclass(frozen=True, eq=False, repr=False)
class CompletedRow:
    """What one task makes the model forget: measured cells as measured, all others predicted with an interval.

    forecast : the row by position
    examples : its ids
    domain_positions : positions of every domain's examples; empty where no domains are known
    n_tasks : known rows that it rests on
    """

    forecast: RowForecast
    examples: ExampleIds
    domain_positions: dict[str, Indices]
    n_tasks: int

    @property
    def values(self) -> Floats:
        """Forgetting of every example, in the order of the matrix, nats per token. (N,)"""
        return self.forecast.mean

    @property
    def low(self) -> Floats:
        """Lower ends of the intervals. (N,)"""
        return self.forecast.low

    @property
    def high(self) -> Floats:
        """Upper ends of the intervals. (N,)"""
        return self.forecast.high

    @property
    def measured(self) -> Mask:
        """Which cells were measured. (N,)"""
        return self.forecast.measured

    @property
    def level(self) -> float:
        """Share of cells that the intervals are meant to hold."""
        return self.forecast.level

    @property
    def n_random(self) -> int:
        """Measured cells that are taken for a random draw."""
        return int(np.count_nonzero(self.forecast.probed.at_random))

    @property
    def unlike_known(self) -> bool | None:
        """Whether the task forgets unlike all known ones; None where too few cells, or rows, are known to say.

        Of a row unlike them only `mean_interval`, `share_above` and what was measured can be trusted.
        """
        return self.forecast.unlike_known

    @property
    def mean(self) -> Interval:
        """Mean forgetting of the row by the model."""
        return self.forecast.row_mean

    @property
    def warnings(self) -> list[str]:
        """Why this row may be trusted less than another, what matters most first."""
        return forecast_warnings(self.forecast, self.n_tasks)

    def top(self, k: int = 20, *, domain: str | None = None) -> list[CompletedCell]:
        """The k most forgotten examples, the most forgotten first; of one domain if asked.

        Raises
        ------
        OutOfRange, WrongKind
        UnknownReference : no example has this domain
        """
        among = None
        if domain is not None:
            among = np.zeros(len(self), dtype=np.bool_)
            among[self._of_domain(domain)] = True
        return [self._cell(position) for position in self.forecast.top(k, among).tolist()]

    def domains(self) -> dict[str, Interval]:
        """Mean forgetting of every domain by the model, the most forgotten first; empty where no domains are known."""
        averages = self.forecast.summary(self.domain_positions)
        return dict(sorted(averages.items(), key=lambda item: -item[1].mean))

    def mean_interval(self, *, domain: str | None = None) -> Interval | None:
        """Mean forgetting of the row, or of a domain, that holds whatever the model gets wrong: by the random probes.

        None where there are too few of these, two for the row and five for a domain.

        Raises
        ------
        UnknownReference : no example has this domain
        """
        return self.forecast.mean_interval(None if domain is None else self._of_domain(domain))

    def share_above(self, limit: float, *, domain: str | None = None) -> Interval | None:
        """Share of examples forgotten by more than a limit (nats per token), held like `mean_interval`.

        Raises
        ------
        OutOfRange, WrongKind
        UnknownReference : no example has this domain
        """
        return self.forecast.share_above(limit, None if domain is None else self._of_domain(domain))

    def to_numpy(self) -> Floats:
        """A copy of `values`. (N,)"""
        return self.values.copy()

    def to_dict(self) -> dict[str, float]:
        """Forgetting by example id, nats per token."""
        return dict(zip(self.examples.ids, self.values.tolist(), strict=True))

    def to_frame(self) -> Any:
        """A pandas DataFrame by example id: domain where it is known, forgetting, low, high, measured, calibrated.

        `calibrated` says whether the interval can be trusted: not in a row unlike all known ones.

        Raises
        ------
        ConfigurationError : there is no pandas
        """
        columns = {
            "example_id": list(self.examples.ids),
            "domain": self._domain_of,
            "forgetting": self.values,
            "low": self.low,
            "high": self.high,
            "measured": self.measured,
            "calibrated": self.forecast.calibrated,
        }
        return data_frame(columns, index="example_id")

    def __getitem__(self, example_id: str) -> CompletedCell:
        """One example. Raises UnknownExample."""
        return self._cell(int(self.examples.positions([example_id])[0]))

    def __len__(self) -> int:
        return len(self.examples)

    def __iter__(self) -> Iterator[str]:
        return iter(self.examples.ids)

    def __repr__(self) -> str:
        n_measured = int(np.count_nonzero(self.measured))
        parts = [f"{len(self)} examples, {n_measured} measured ({self.n_random} at random)"]
        if self.unlike_known:
            by_probes = self.mean_interval()
            parts.append("unlike all known tasks: trust mean_interval() alone")
            parts += [] if by_probes is None else [_said(by_probes, self.level)]
        else:
            likeness = "not known whether like known tasks"
            parts += [_said(self.mean, self.level), likeness if self.unlike_known is None else "like known tasks"]
        return f"CompletedRow({'; '.join(parts)})"

    @cached_property
    def _domain_of(self) -> list[str] | None:
        """Of every example."""
        if not self.domain_positions:
            return None
        found = [""] * len(self)
        for name, positions in self.domain_positions.items():
            for position in positions.tolist():
                found[position] = name
        return found

    def _of_domain(self, domain: str) -> Indices:
        if domain not in self.domain_positions:
            has = f"it has {', '.join(map(repr, self.domain_positions))}" if self.domain_positions else "it has none"
            raise UnknownReference(f"The matrix has no domain {domain!r}; {has}.")
        return self.domain_positions[domain]

    def _cell(self, position: int) -> CompletedCell:
        return CompletedCell(
            example_id=self.examples.ids[position],
            domain=None if self._domain_of is None else self._domain_of[position],
            forgetting=float(self.values[position]),
            low=float(self.low[position]),
            high=float(self.high[position]),
            measured=bool(self.measured[position]),
        )


def _said(average: Interval, level: float) -> str:
    return f"mean {average.mean:+.3f}, {100 * level:g}% {average.low:+.3f} to {average.high:+.3f}"
