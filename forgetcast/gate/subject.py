"""What is judged: a completed row with its names, and what is known of how far it may be believed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from statistics import NormalDist

import numpy as np

from forgetcast.completion.methods.fitted_method import FittedMethod
from forgetcast.completion.row_forecast import RowForecast
from forgetcast.completion.types import Floats, Indices
from forgetcast.gate.verdict import JudgedObject

FEWEST_PAIRS = 8  # of repeats, for the variance between runs to be known


def chi_squares(normals: Floats, freedom: int) -> Floats:
    """Chi squares at the ranks of standard normal numbers.

    Source: Wilson and Hilferty (1931); from 8 degrees of freedom on within 1% at ranks of 0.025 to 0.975.
    """
    spread = 2.0 / (9.0 * freedom)
    root = np.maximum(1.0 - spread + normals * spread**0.5, 0.05)
    return np.asarray(freedom * root**3)


@dataclass(frozen=True)
class QualityFigures:
    """Of the back-test with families left out; None where it says nothing.

    coverage : share of cells inside their 90% interval
    row_mean_ratio : error of the row's mean over that of popularity
    """

    coverage: float | None
    row_mean_ratio: float | None


@dataclass(frozen=True)
class RunVariance:
    """How runs of one recipe differ, from n_pairs of repeats: sd of one run, nats per token.

    row_mean_sd : of the row's mean
    domain_sd : of a domain's mean, beside that; None where domains are not known
    cell_sd : of a cell; None where nobody says
    """

    n_pairs: int
    row_mean_sd: float
    domain_sd: float | None = None
    cell_sd: float | None = None

    def interval(self, sd: float, level: float = 0.9) -> tuple[float, float]:
        """Of a standard deviation that was found from these pairs: as many squares, of normal numbers."""
        tail = (1.0 - level) / 2.0
        reach = NormalDist().inv_cdf(1.0 - tail)
        low, high = sd * np.sqrt(self.n_pairs / chi_squares(np.array([reach, -reach]), self.n_pairs))
        return float(low), float(high)


@dataclass(frozen=True, eq=False)
class Baseline:
    """The row that thresholds compare with, in the same order of examples."""

    name: str
    row: RowForecast


@dataclass(frozen=True, eq=False)
class Subject:
    """A row to be judged.

    example_ids, domain_of : (N,) of every example; domains empty where none are known
    measurable : positions that can be measured at all; None for every one
    tags : positions by tag
    fitted : what the row was completed by; None for a finished evaluation
    distrust : why the model's own intervals do not count of this row, whatever the back-test says; empty if they do
    replayed : positions of the examples that were mixed into the candidate's training
    identity : what the seed of draws is made of beside the policy: matrix, task and all their versions
    look : the how-manieth verdict on new measurements this is, from 1
    first_release : a missing baseline is none that is missed, and `threshold` is not asked
    unfit : reasons why nothing may be concluded, such as versions that do not belong together; the verdict is `error`
    """

    row: RowForecast
    example_ids: Sequence[str]
    domain_of: Sequence[str] = ()
    measurable: Indices | None = None
    tags: Mapping[str, Indices] = field(default_factory=dict)
    fitted: FittedMethod | None = None
    quality: QualityFigures | None = None
    object: JudgedObject = JudgedObject.CANDIDATE
    runs: RunVariance | None = None
    baseline: Baseline | None = None
    no_baseline: str = "there is no baseline"
    first_release: bool = False
    distrust: str = ""
    replayed: Indices = field(default_factory=lambda: np.zeros(0, dtype=np.intp))
    identity: str = ""
    look: int = 1
    unfit: Sequence[str] = ()

    @cached_property
    def everything(self) -> Indices:
        """Positions of the row that have a forecast."""
        return np.arange(self.row.mean.size, dtype=np.intp) if self.measurable is None else self.measurable

    @cached_property
    def domains(self) -> dict[str, Indices]:
        """Positions by domain, in order of first appearance."""
        found: dict[str, list[int]] = {}
        for position in self.everything.tolist() if self.domain_of else []:
            found.setdefault(self.domain_of[position], []).append(position)
        return {name: np.array(positions, dtype=np.intp) for name, positions in found.items()}

    @cached_property
    def place(self) -> dict[str, int]:
        """Position by example id."""
        return {name: position for position, name in enumerate(self.example_ids)}

    @property
    def finished(self) -> bool:
        """Whether every cell was measured."""
        return bool(self.row.measured[self.everything].all())

    def seed(self, policy_sha256: str) -> int:
        """Of the draws: a digest of everything that the verdict is a function of."""
        return int.from_bytes(hashlib.sha256(f"{self.identity}\n{policy_sha256}".encode()).digest()[:8], "big")
