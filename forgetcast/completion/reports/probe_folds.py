"""Which cells of a left-out row play the probes, and which are scored.

Two folds: probes are chosen only among even positions and scored on odd ones, then the reverse, so that no method gains
by measuring the noisiest cells.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forgetcast.completion.matrix.forgetting_matrix import ForgettingMatrix
from forgetcast.completion.methods.fitted_method import FittedMethod
from forgetcast.completion.methods.refit_per_task import RefitPerTask
from forgetcast.completion.selection.probes import Design, ProbeSet, design_probes, random_probes
from forgetcast.completion.types import Mask


@dataclass(frozen=True, eq=False)
class Fold:
    """Probes of one forecast, and the cells it is scored on."""

    probes: ProbeSet
    scored: Mask


class ProbeFolds:
    """Probes and scored cells of rows of one matrix. Random probes are the task's own; designed ones the matrix's."""

    def __init__(
        self, matrix: ForgettingMatrix, model: FittedMethod | RefitPerTask, n_probes: int, design: str, seed: int
    ) -> None:
        self._matrix, self._model, self._n_probes, self._seed = matrix, model, n_probes, seed
        self._design = Design.RANDOM if isinstance(model, RefitPerTask) or model.method.ranks_alike else design
        self._designed: dict[tuple[int, bytes], ProbeSet] = {}  # most rows have every cell, and then the same

    def of(self, row: int, draws: int) -> list[Fold]:
        """The folds of a row, two for every draw; one without a cell to score is left out."""
        observed = self._matrix.observed[row]
        even = np.arange(self._matrix.n_examples) % 2 == 0
        found: list[Fold] = []
        for draw in range(draws):
            for fold, half in enumerate((even, ~even)):
                if (observed & ~half).any():
                    found.append(Fold(self._probes(row, draw, fold, observed & half), observed & ~half))
        return found

    def _probes(self, row: int, draw: int, fold: int, pool: Mask) -> ProbeSet:
        own = row if self._design == Design.RANDOM else 0
        seed = ((self._seed * 1_000_003 + own) * 1_009 + draw) * 2 + fold
        size = min(self._n_probes, int(pool.sum()))
        if isinstance(self._model, RefitPerTask) or self._design == Design.RANDOM:
            return ProbeSet(random_probes(pool.size, size, seed, eligible=pool), np.ones(size, dtype=np.bool_))
        key = (seed, np.packbits(pool).tobytes())
        if key not in self._designed:
            model = self._model.factors
            self._designed[key] = design_probes(model, size, design=self._design, seed=seed, eligible=pool)
        return self._designed[key]
