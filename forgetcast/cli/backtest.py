"""`forgetcast backtest`: how far forecasts are off on rows whose truth is known."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from forgetcast.cli.options import names, open_client, rows, url_option
from forgetcast.cli.output import print_json, print_table

POPULARITY = "popularity"


@click.command(epilog="Example: forgetcast backtest rows.npz --design random --methods local,additive,popularity")
@click.argument("matrix")
@click.option("--probes", type=click.IntRange(0), help="Measured examples of a left-out task.  [default: 30]")
@click.option("--design", type=click.Choice(["mixed", "optimal", "random"]), help="Of the probes.  [default: random]")
@click.option("--methods", type=names, help="Joined by commas.  [default: all]")
@click.option("--draws", type=click.IntRange(1), help="How often each task's probes are drawn.  [default: 5]")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="[default: 0.9]")
@click.option("--seed", type=click.IntRange(0), help="[default: 0]")
@click.option("--train", type=rows, help="Known rows, as 0:5,7,9.  [default: all but the one left out]")
@click.option("--test", type=rows, help="Rows to forecast.  [default: each in turn]")
@url_option
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def backtest(matrix: str, url: str | None, as_json: bool, **options: Any) -> None:
    """Leave out each task of MATRIX, forecast it from a few measured examples, and compare with the truth.

    MATRIX is an .npz file (array `forgetting`, tasks by examples, NaN where missing; optional `task`, `example`,
    `domain`, `family`), or the id of a matrix in the service: then the back-test made with its newest fit is shown.
    """
    given = {name: value for name, value in options.items() if value is not None}
    if matrix.endswith(".npz") or Path(matrix).is_file():
        report = _of_file(Path(matrix), given)
    elif given:
        raise click.UsageError(f"--{min(given)} is for .npz files; {matrix!r} is shown as the service back-tested it")
    else:
        with open_client(url) as client:
            report = client.matrices.backtest(matrix)
    if as_json:
        print_json(report)
    else:
        print_backtest(report)


def _of_file(path: Path, given: dict[str, Any]) -> dict[str, Any]:
    from forgetcast.completion import METHODS, load_npz
    from forgetcast.completion import backtest as run

    options = {"design": "random", "methods": METHODS, **given}
    if "probes" in options:
        options["n_probes"] = options.pop("probes")
    return run(load_npz(path), **options)


def print_backtest(report: dict[str, Any]) -> None:
    """A line a method, then task by task where the default method falls behind popularity."""
    methods: dict[str, dict[str, Any]] = report["methods"]
    headings = ["method", "Spearman", "recall 5%", "RMSE", "RMSE / mean", "coverage"]
    table = [
        (
            f"{name} (default)" if name == report["default"] else name,
            _figure(of["spearman"], 3),
            _figure(of["recall_5pct"], 3),
            _figure(of["rmse_unprobed"], 4),
            _figure(of["rel"], 3),
            _figure(of["coverage_mean"], 3),
        )
        for name, of in methods.items()
    ]
    n_tasks = len(methods[report["default"]]["tasks"])
    click.echo(
        f"{n_tasks} tasks, each forecast from {report['n_probes']} probes ({report['design']}; baselines always "
        f"random), {report['draws']} draws; RMSE in nats per token over cells that were not measured, and beside "
        f"that of the mean of the known rows; nominal coverage {report['level']:g}\n"
    )
    print_table(headings, table, to_the_right=headings[1:])
    if POPULARITY in methods and report["default"] != POPULARITY:
        click.echo(f"\n{_beside_popularity(report['default'], methods)}")


def _beside_popularity(default: str, methods: dict[str, dict[str, Any]]) -> str:
    own: Sequence[dict[str, Any]] = methods[default]["tasks"]
    other: Sequence[dict[str, Any]] = methods[POPULARITY]["tasks"]
    pairs = [(mine, theirs) for mine, theirs in zip(own, other, strict=True)]
    lost = [(mine, theirs) for mine, theirs in pairs if mine["spearman"] <= theirs["spearman"]]
    text = f"{default} is better than popularity in Spearman on {len(pairs) - len(lost)} of {len(pairs)} tasks"
    if lost:
        losses = ", ".join(
            f"{mine['task']} ({mine['spearman']:.3f}, {theirs['spearman']:.3f})" for mine, theirs in lost
        )
        text += f"; not on {losses}"
    return text


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
