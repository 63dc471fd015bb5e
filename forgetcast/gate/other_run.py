"""Another run of the same recipe: what its row is, given what is known of the row of this one.

Notation
    a, b, c   sd of one run: of the row's mean, of a domain's beside it, of a cell      nats per token
    n         repeated tasks that these are known from
    w         root of n over a chi square of n degrees: how much larger a, b and c may be
    k         share of a cell's scatter within its domain that is no noise of a run

Both runs stray from their recipe, so the other one's mean and domains lie sqrt 2 times as far away. A measured cell
holds this run's noise: the other run's lies around k times its distance from its domain's mean, with variance
c^2 (1 + k), so that cells of drawn rows scatter as those of this run do. A forecast cell has c already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from forgetcast.completion.draws import Draws
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices
from forgetcast.gate.subject import RunVariance, chi_squares

Cells = NDArray[np.float32]


class OtherRun:
    """Draws what another run adds to the row of this one.

    Parameters
    ----------
    domains : positions of each
    seed : not negative
    """

    def __init__(self, row: RowForecast, runs: RunVariance, domains: Sequence[Indices], seed: int) -> None:
        self._runs, self._draws = runs, Draws(seed)
        self._measured = row.measured
        self._domain_of = np.full(row.mean.size, len(domains), dtype=np.intp)  # one more for those without
        for place, positions in enumerate(domains):
            self._domain_of[positions] = place
        self._n_domains = len(domains)
        self._domain_sd, self._cell_sd = runs.domain_sd or 0.0, runs.cell_sd or 0.0
        sums = np.bincount(self._domain_of, row.mean, minlength=len(domains) + 1)
        counts = np.bincount(self._domain_of, minlength=len(domains) + 1)
        middle = (sums / np.maximum(counts, 1))[self._domain_of]
        scatter = float(np.mean((row.mean - middle) ** 2))
        self._kept = max(0.0, 1.0 - self._cell_sd**2 / scatter) if scatter > 0 else 0.0
        self._expected = middle + self._kept * (row.mean - middle)

    def draw(self, n: int) -> OtherRows:
        """As many rows as n."""
        n_pairs = self._runs.n_pairs
        wider = np.sqrt(2.0 * n_pairs / chi_squares(self._draws.normals(n), n_pairs))
        shared = self._runs.row_mean_sd * self._draws.normals(n) * wider
        by_domain = self._draws.normals(n * self._n_domains).reshape(n, self._n_domains)
        by_domain = np.column_stack([self._domain_sd * by_domain * wider[:, None], np.zeros(n)])
        return OtherRows(self, shared[:, None] + by_domain, wider / 2**0.5)

    def domain_shares(self, positions: Indices) -> Floats:
        """Share of these cells that each domain has. (domains + 1,)"""
        counts = np.bincount(self._domain_of[positions], minlength=self._n_domains + 1)
        return np.asarray(counts / positions.size)

    def mean_noise_sd(self, positions: Indices) -> float:
        """What the noise of its cells adds to the mean of some, with w 1."""
        n_measured = int(np.count_nonzero(self._measured[positions]))
        return float(self._cell_sd * ((1.0 + self._kept) * n_measured) ** 0.5 / positions.size)

    def moves(self, positions: Indices, by_domain: Floats) -> Cells:
        """What whole domains move these cells by. (n, K)"""
        return by_domain.astype(np.float32)[:, self._domain_of[positions]]

    def measured_cells(self, positions: Indices, by_domain: Floats, wider: Floats) -> Cells:
        """The other run's cells that were measured in this one. (n, K)"""
        n = wider.size
        noise = self._draws.normals(n * positions.size).reshape(n, positions.size).astype(np.float32)
        noise *= (self._cell_sd * (1.0 + self._kept) ** 0.5 * wider).astype(np.float32)[:, None]
        return np.asarray(noise + self._expected[positions].astype(np.float32) + self.moves(positions, by_domain))

    def normals(self, n: int) -> Floats:
        return self._draws.normals(n)


@dataclass(frozen=True, eq=False)
class OtherRows:
    """n drawn rows of the other run: by_domain (n, domains + 1), nats per token; wider (n,), w."""

    run: OtherRun
    by_domain: Floats
    wider: Floats

    def of(self, rows: slice) -> OtherRows:
        return OtherRows(self.run, self.by_domain[rows], self.wider[rows])

    def mean_moves(self, positions: Indices) -> Floats:
        """What the mean of some cells differs by. (n,)"""
        shared = self.by_domain @ self.run.domain_shares(positions)
        return np.asarray(shared + self.run.mean_noise_sd(positions) * self.wider * self.run.normals(self.wider.size))

    def moves(self, positions: Indices) -> Cells:
        return self.run.moves(positions, self.by_domain)

    def measured_cells(self, positions: Indices) -> Cells:
        return self.run.measured_cells(positions, self.by_domain, self.wider)
