"""`forgetcast backtest`: how far forecasts are off on rows whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from forgetcast.cli.options import Rows, names, open_client, rows, url_option
from forgetcast.cli.output import note, print_json, print_table

POPULARITY = "popularity"
ALL = "all"
NOTE_EVERY = 5.0  # seconds of work after which a person wants to hear how far it is
SHOWN = 5  # tasks on which the default lags
LARGE_SHARE = 0.25  # of all squared error, from which on a task is named


@click.command(epilog="Example: forgetcast backtest rows.npz --train 0:46 --test 46: --methods blend,popularity")
@click.argument("matrix")
@click.option("--probes", type=click.IntRange(0), help="Measured examples of a left-out task.  [default: 30]")
@click.option("--design", type=click.Choice(["mixed", "optimal", "random"]), help="Of the probes.  [default: mixed]")
@click.option("--methods", type=names, help="Joined by commas, or all.  [default: all]")
@click.option("--draws", type=click.IntRange(1), help="How often each task's probes are drawn.  [default: 5]")
@click.option("--level", type=click.FloatRange(0, 1, min_open=True, max_open=True), help="[default: 0.9]")
@click.option("--seed", type=click.IntRange(0, 2**31 - 1), help="[default: 0]")
@click.option("--train", type=rows, help="Known rows, as 0:5,7 or 46:  [default: all but those left out]")
@click.option("--test", type=rows, help="Rows to forecast.  [default: each in turn]")
@url_option
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def backtest(matrix: str, url: str | None, as_json: bool, **options: Any) -> None:
    """Leave out tasks of MATRIX, forecast each from a few measured examples, and compare with the truth.

    MATRIX is an .npz file (array `forgetting`, tasks by examples, NaN where missing; optional `task`, `example`,
    `domain`, `family`), or the id of a matrix in the service: then the back-test made with its newest fit is shown.

    Probes are chosen among even positions and scored on odd ones, then the reverse. Baselines get random probes. More
    draws make the coverage of intervals surer (20 to 50) and cost little beside fitting.
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
    from forgetcast.completion import ALL_METHODS, ForgettingMatrix
    from forgetcast.completion import backtest as run

    known = ForgettingMatrix.load(path)
    options: dict[str, Any] = {
        name: value.of(known.n_tasks) if isinstance(value, Rows) else value for name, value in given.items()
    }
    if "probes" in options:
        options["n_probes"] = options.pop("probes")
    if options.get("methods") == [ALL]:
        options["methods"] = ALL_METHODS
    return asdict(run(known, on_progress=_progress_notes(), **options))


def _progress_notes() -> Callable[[int, int], None]:
    """Says every few seconds how much is done."""
    last = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= NOTE_EVERY:
            last = time.monotonic()
            note(f"{done} of {of} forecasts of a task by a method are scored")

    return tell


def print_backtest(report: dict[str, Any]) -> None:
    """A line a method, then how sure the lead of the first or default is, and which tasks carry its error or lag."""
    from forgetcast.completion import DEFAULT_METHOD

    methods: dict[str, dict[str, Any]] = report["methods"]
    default = report["default"]
    n_tasks = len(methods[default]["tasks"])
    click.echo(
        f"{n_tasks} tasks, each forecast from {report['n_probes']} probes ({report['design']}; baselines always "
        f"random), {report['draws']} draws; RMSE in nats per token; nominal coverage {report['level']:g}\n"
    )
    headings = ["method", "RMSE / mean", "90%", "RMSE", "recall 5%", "Spearman", "coverage", "usual", "of row mean"]
    table = [_method_row(f"{name} (default)" if name == DEFAULT_METHOD else name, of) for name, of in methods.items()]
    print_table(headings, table, to_the_right=[heading for heading in headings if heading not in ("method", "90%")])
    click.echo(
        "\nRMSE (and over that of the known rows' mean) and recall of the highest 5%: cells that could not be probed."
        "\nSpearman: whole rows. usual: share of tasks whose coverage lies in 0.80 to 0.97."
    )
    for line in [*_leads(report), *_carriers(methods[default]["tasks"]), *_lags(default, methods)]:
        click.echo(line)


def _method_row(name: str, of: dict[str, Any]) -> tuple[str, ...]:
    return (
        name,
        _figure(of["rel"], 3),
        f"{_figure(of['rel_low'], 3)} to {_figure(of['rel_high'], 3)}",
        _figure(of["rmse_common"], 4),
        _figure(of["recall_common"], 3),
        _figure(of["spearman"], 3),
        _figure(of["coverage_mean"], 3),
        _figure(of["coverage_tasks"], 2),
        _figure(of["row_mean_coverage"], 2),
    )


def _leads(report: dict[str, Any]) -> list[str]:
    """The paired ratio of the default's error to every other method's."""
    paired: dict[str, dict[str, float]] = report["paired"]
    ratios = [
        f"  {of['ratio']:.3f} ({of['low']:.3f} to {of['high']:.3f}) of that of {name}" for name, of in paired.items()
    ]
    return [f"\nerror of {report['default']}, task by task (90%)", *ratios, ""] if ratios else []


def _carriers(tasks: list[dict[str, Any]]) -> list[str]:
    """Tasks that have so much of the squared error that the pooled RMSE is theirs."""
    large = [task for task in tasks if (task["squared_error_share"] or 0) >= LARGE_SHARE and len(tasks) > 1]
    return [
        f"{100 * task['squared_error_share']:.0f}% of the squared error is that of {task['task']}" for task in large
    ]


def _lags(default: str, methods: dict[str, dict[str, Any]]) -> list[str]:
    """Where the default ranks no better than popularity."""
    if POPULARITY not in methods or default == POPULARITY:
        return []
    pairs = list(zip(methods[default]["tasks"], methods[POPULARITY]["tasks"], strict=True))
    lost = [(mine, theirs) for mine, theirs in pairs if mine["spearman"] <= theirs["spearman"]]
    text = f"{default} is better than popularity in Spearman on {len(pairs) - len(lost)} of {len(pairs)} tasks"
    if lost:
        shown = [f"{mine['task']} ({mine['spearman']:.3f}, {theirs['spearman']:.3f})" for mine, theirs in lost[:SHOWN]]
        text += f"; not on {', '.join(shown)}" + (f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else "")
    return [text]


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
