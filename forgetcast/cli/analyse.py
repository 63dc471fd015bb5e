"""`forgetcast analyse`: rank and noise of known rows, which tasks forget and what is forgotten."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from forgetcast.cli.options import open_client, url_option
from forgetcast.cli.output import print_json, print_table, printable

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
    if matrix.endswith(".npz") or Path(matrix).is_file():
        from forgetcast.completion import ForgettingMatrix
        from forgetcast.completion import analyse as run

        found = run(ForgettingMatrix.load(matrix))
    else:
        with open_client(url) as client:
            found = client.matrices.analysis(matrix)
    if as_json:
        print_json(found)
    else:
        print_analysis(found)


def print_analysis(found: dict[str, Any]) -> None:
    click.echo(
        f"{found['n_tasks']} tasks by {found['n_examples']} examples, {100 * found['share_observed']:.0f}% measured; "
        f"mean {found['mean']:+.3f}, sd {found['sd']:.3f} nats per token\n"
    )
    ranks = [(f"rank {rank}", _share(r2)) for rank, r2 in enumerate(found["r2_by_rank"], 1)]
    others = [("additive", _share(found["r2_additive"])), ("multiplicative", _share(found["r2_multiplicative"]))]
    ceiling = ("without noise", _share(found["noise"]["r2_ceiling"]))
    print_table(["fit, in sample", "R2"], [*ranks, *others, ceiling], to_the_right=["R2"])
    click.echo(f"\n{_noise(found['noise'])}")
    for factor in found["factors"]:
        click.echo(f"\nfactor {factor['factor']}: {100 * factor['share']:.0f}% of the variance")
        most, least = factor["tasks"]["most"][:SHOWN], factor["tasks"]["least"][:SHOWN]
        click.echo(f"  highest tasks  {_listed(most, 'task', 'score')}")
        click.echo(f"  lowest tasks   {_listed(least, 'task', 'score')}")
        if factor["domains"]:
            click.echo(f"  domains        {_listed(factor['domains'][:SHOWN], 'domain', 'mean_loading')}")
    for name, key in (("tasks", "task"), ("examples", "example_id")):
        for end, word in (("most", "most"), ("least", "least")):
            click.echo(f"\n{name} with {word} forgetting: {_listed(found[name][end][:SHOWN], key, 'mean')}")
    for line in _outliers(found.get("outliers")):
        click.echo(line)


def _outliers(found: dict[str, Any] | None) -> list[str]:
    """What is beyond belief; an analysis of an older service says nothing of it."""
    if found is None or not (found["n_cells"] or found["n_rows"]):
        return []
    rows = [
        f"  row of {printable(row['task'])}: {row['shift']:+.3g} nats per token above its columns, "
        f"{abs(row['robust_sd']):.0f} robust sd; scatters {row['spread']:.1f} times as wide as a typical row"
        for row in found["rows"][:SHOWN]
    ]
    cells = [
        f"  {printable(cell['task'])}, {printable(cell['example_id'])}: {cell['forgetting']:+.4g} nats per token, "
        f"{abs(cell['robust_sd']):.0f} robust sd"
        for cell in found["cells"][:SHOWN]
    ]
    return [f"\nbeyond belief: {found['n_rows']} rows, {found['n_cells']} cells", *rows, *cells]


def _noise(noise: dict[str, Any]) -> str:
    cell = f"noise of a cell {noise['cell_sd']:.4f} nats per token"
    if noise["from"] == "residuals":
        return f"{cell}, which is what the factors leave: no task was measured twice"
    return f"{cell}, of a row mean {noise['row_mean_sd']:.4f}, from {len(noise['repeats'])} tasks measured twice"


def _listed(entries: list[dict[str, Any]], name: str, figure: str) -> str:
    return ", ".join(f"{printable(entry[name]) or '(none)'} {entry[figure]:+.3f}" for entry in entries)


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
