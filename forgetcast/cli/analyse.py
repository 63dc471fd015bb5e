"""`forgetcast analyse`: rank and noise of known rows, which tasks forget and what is forgotten."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from forgetcast.cli.input_files import npz_file
from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import print_json, print_table, printable, say

if TYPE_CHECKING:
    from forgetcast.completion import AnalysisReport
    from forgetcast.completion.reports.analysis_report import Factor, Noise, Outliers

FEW_ROWS = 8  # below this ranks in sample are those of the number of rows
SHOWN = 5  # tasks, examples and domains of each end; --json has all


@click.command(epilog="Example: forgetcast analyse rows.npz --json")
@click.argument("matrix")
@url_option
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def analyse(matrix: str, url: str | None, as_json: bool) -> None:
    """Describe the known rows of MATRIX: how low their rank is, how noisy they are, who forgets and what is forgotten.

    MATRIX is an .npz file (array `forgetting`, tasks by examples, NaN where missing; optional `task`, `example`,
    `domain`, `family`, and `repeat_of`: the task that a row measures once more, empty for none), or the id of a matrix
    in the service.
    """
    file = npz_file(matrix)
    if file is not None:
        from forgetcast.completion import ForgettingMatrix
        from forgetcast.completion import analyse as run

        found: AnalysisReport = run(ForgettingMatrix.load(file))
    else:
        with open_client(url) as client:
            found = client.matrices.analysis(matrix)
    if as_json:
        print_json(found)
    else:
        print_analysis(found)


def print_analysis(found: AnalysisReport) -> None:
    say(
        f"{found.n_tasks} tasks by {found.n_examples} examples, {100 * found.share_observed:.0f}% measured; "
        f"mean {found.mean:+.3f}, sd {found.sd:.3f} nats per token\n"
    )
    if found.n_tasks < FEW_ROWS:
        rows = f"{found.n_tasks} row{'' if found.n_tasks == 1 else 's'}"
        say(
            f"{rows}: a fit of rank {max(found.n_tasks - 1, 1)} passes through them whatever they are, so R2 says "
            "nothing of rank here; `forgetcast seed` measures more rows\n"
        )
    ranks = [(f"rank {rank}", _share(r2)) for rank, r2 in enumerate(found.r2_by_rank, 1)]
    others = [("additive", _share(found.r2_additive)), ("multiplicative", _share(found.r2_multiplicative))]
    print_table(["fit, in sample", "R2"], [*ranks, *others, _ceiling(found.noise)], to_the_right=["R2"])
    say(f"\n{_noise(found.noise)}")
    for line in (line for factor in found.factors for line in _factor(factor)):
        say(line)
    for end, tasks, examples in (
        ("most", found.tasks.most, found.examples.most),
        ("least", found.tasks.least, found.examples.least),
    ):
        say(f"\ntasks with {end} forgetting: {_listed((one.task, one.mean) for one in tasks[:SHOWN])}")
        named = _listed((one.example_id, one.mean) for one in examples[:SHOWN])
        say(f"examples with {end} forgetting: {named}")
    for line in _outliers(found.outliers):
        say(line)


def _factor(factor: Factor) -> list[str]:
    most, least = (
        _listed((one.task, one.score) for one in end[:SHOWN]) for end in (factor.tasks.most, factor.tasks.least)
    )
    domains = _listed((one.domain, one.mean_loading) for one in factor.domains[:SHOWN])
    return [
        f"\nfactor {factor.factor}: {100 * factor.share:.0f}% of the variance",
        f"  highest tasks  {most}",
        f"  lowest tasks   {least}",
        *([f"  domains        {domains}"] if domains else []),
    ]


def _outliers(found: Outliers) -> list[str]:
    """What is beyond belief."""
    if not (found.n_cells or found.n_rows):
        return []
    rows = [
        f"  row of {printable(row.task)}: {row.shift:+.3g} nats per token above its columns, "
        f"{abs(row.robust_sd):.0f} robust sd; scatters {row.spread:.1f} times as wide as a typical row"
        for row in found.rows[:SHOWN]
    ]
    cells = [
        f"  {printable(cell.task)}, {printable(cell.example_id)}: {cell.forgetting:+.4g} nats per token, "
        f"{abs(cell.robust_sd):.0f} robust sd"
        for cell in found.cells[:SHOWN]
    ]
    return [f"\nbeyond belief: {found.n_rows} rows, {found.n_cells} cells", *rows, *cells]


def _ceiling(noise: Noise) -> tuple[str, str]:
    """A bound that fits have passed in sample is not shown."""
    return "without noise" + (", at least" if noise.at_most else ""), _share(noise.r2_ceiling)


def _noise(noise: Noise) -> str:
    if noise.cell_sd is None:
        return "noise of a cell: no task was measured twice, and no row has cells enough to bound it"
    if noise.at_most:
        return (
            f"noise of a cell: at most {noise.cell_sd:.4f} nats per token in the middle task, which is what a forecast "
            "from all other cells is off; measure a task twice to know it"
        )
    tasks = f"{len(noise.repeats)} task{'' if len(noise.repeats) == 1 else 's'} measured twice"
    return f"noise of a cell {noise.cell_sd:.4f} nats per token, of a row mean {noise.row_mean_sd:.4f}, from {tasks}"


def _listed(entries: Iterable[tuple[str, float]]) -> str:
    return ", ".join(f"{printable(name) or '(none)'} {figure:+.3f}" for name, figure in entries)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
