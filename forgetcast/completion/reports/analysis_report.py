"""What known rows look like, as data: the same shape in Python, on the wire and in the command line's `--json`.

Nats per token; a figure that cannot be formed is None.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class TaskMean:
    """Mean and spread of a task's forgetting."""

    task: str
    mean: float
    sd: float


@dataclass(frozen=True)
class TaskEnds:
    """Tasks that forget most and least, the furthest first; none is in both."""

    most: tuple[TaskMean, ...]
    least: tuple[TaskMean, ...]


@dataclass(frozen=True)
class ExampleMean:
    """Mean and spread of an upstream example's forgetting over tasks; `domain` where domains are known."""

    example_id: str
    domain: str | None
    mean: float
    sd: float


@dataclass(frozen=True)
class ExampleEnds:
    """Examples that are forgotten most and least, the furthest first; none is in both."""

    most: tuple[ExampleMean, ...]
    least: tuple[ExampleMean, ...]


@dataclass(frozen=True)
class TaskScore:
    """How much of a factor a task has; the root mean square over tasks is 1."""

    task: str
    score: float


@dataclass(frozen=True)
class ScoreEnds:
    """Tasks with the highest and the lowest score, the furthest first; none is in both."""

    most: tuple[TaskScore, ...]
    least: tuple[TaskScore, ...]


@dataclass(frozen=True)
class DomainLoading:
    """Mean loading of a domain, nats per unit of score, and its share of the factor's squared loadings."""

    domain: str
    mean_loading: float
    share: float


@dataclass(frozen=True)
class Factor:
    """One factor: its share of the variance, the domains with the largest loadings, its tasks."""

    factor: int
    share: float
    domains: tuple[DomainLoading, ...]
    tasks: ScoreEnds


@dataclass(frozen=True)
class RepeatedTask:
    """A task measured twice: how far the two measurements are apart, and how much of the top 5% they share."""

    task: str
    n_cells: int
    cell_sd: float
    row_mean_difference: float
    correlation: float | None
    top_5pct_overlap: float


@dataclass(frozen=True)
class Noise:
    """How far one measurement of a cell is off.

    source : `from` in JSON. `repeats`, then the figures are estimates; `residuals`, then nobody measured a task twice
        and they are bounds
    at_most : whether the noise is no more than `cell_sd`, in the middle task, and the ceiling no less than `r2_ceiling`
    cell_sd, row_mean_sd : standard deviation of one measurement's noise, of a cell and of a row mean
    domain_mean_sd : the same of a domain's mean, beside what the whole row and single cells are off; None where domains
        are not known
    r2_ceiling : R2 of a model without any error but the noise; None where a bound does not reach the R2 of a fit
    """

    source: str = field(metadata={"alias": "from"})
    at_most: bool
    cell_sd: float | None
    row_mean_sd: float | None
    r2_ceiling: float | None
    repeats: tuple[RepeatedTask, ...]
    domain_mean_sd: float | None = None


@dataclass(frozen=True)
class OutlyingCell:
    """A cell beyond belief, and by how many robust sd."""

    task: str
    example_id: str
    forgetting: float
    robust_sd: float


@dataclass(frozen=True)
class OutlyingRow:
    """A row beyond belief: how far it lies above its columns, and how much wider than a typical row it scatters."""

    task: str
    shift: float
    robust_sd: float
    spread: float


@dataclass(frozen=True)
class Outliers:
    """How many cells and rows are beyond belief, and the most surprising of them."""

    n_cells: int
    cells: tuple[OutlyingCell, ...]
    n_rows: int
    rows: tuple[OutlyingRow, ...]


@dataclass(frozen=True)
class AnalysisReport:
    """Known rows.

    r2_by_rank : of ranks 1, 2, ..., in sample, as are the others
    r2_additive, r2_multiplicative : of row and column means, and of one product of them
    """

    n_tasks: int
    n_examples: int
    share_observed: float
    mean: float
    sd: float
    r2_by_rank: tuple[float | None, ...]
    r2_additive: float | None
    r2_multiplicative: float | None
    noise: Noise
    factors: tuple[Factor, ...]
    tasks: TaskEnds
    examples: ExampleEnds
    outliers: Outliers
