"""`forgetcast backtest`: how far forecasts are off on rows whose truth is known."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forgetcast.cli.input_files import INPUT_FILE, npz_file, shown_name
from forgetcast.cli.options import Rows, names, open_client, rows, url_option
from forgetcast.cli.output import note, print_json, print_table, say
from forgetcast.cli.trust import recall_sentence

if TYPE_CHECKING:
    from forgetcast.completion import BacktestReport
    from forgetcast.completion.reports.backtest_report import Covered, MethodFigures, PairedRatio, TaskFigures

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
@click.option(
    "--leave-out",
    type=click.Choice(["families", "tasks"]),
    help="What is left out together.  [default: families where they are known, and single tasks beside them]",
)
@click.option(
    "--base",
    type=INPUT_FILE,
    help="Log-perplexity before, (N,) as .npy: replay of the highest is compared with that of forecasts.",
)
@url_option
@click.option("--json", "as_json", is_flag=True, help="All figures as JSON.")
def backtest(matrix: str, url: str | None, as_json: bool, **options: Any) -> None:
    """Leave out tasks of MATRIX, forecast each from a few measured examples, and compare with the truth.

    MATRIX is an .npz file (array `forgetting`, tasks by examples, NaN where missing; optional `task`, `example`,
    `domain`, `family`), or the id of a matrix in the service: then the back-test made with its newest fit is shown.

    Probes are chosen among even positions and scored on odd ones, then the reverse. Baselines get random probes. More
    draws make the coverage of intervals surer (20 to 50) and cost little beside fitting.

    A task that is left out with its whole family fares as a new kind of task does; one that is left out alone, as a
    task that has near relatives among the known ones.
    """
    given = {name: value for name, value in options.items() if value is not None}
    report: BacktestReport
    file = npz_file(matrix)
    if file is not None:
        report = _of_file(file, given)
    elif given:
        raise click.UsageError(
            f"--{min(given).replace('_', '-')} is for .npz files; {matrix!r} is shown as the service back-tested it"
        )
    else:
        with open_client(url) as client:
            report = client.matrices.backtest(matrix)
    if as_json:
        print_json(report)
    else:
        print_backtest(report)


def _of_file(path: Path, given: dict[str, Any]) -> BacktestReport:
    from forgetcast.completion import ALL_METHODS, ForgettingMatrix
    from forgetcast.completion import backtest as run

    known = ForgettingMatrix.load(path)
    options: dict[str, Any] = {
        name: value.of(known.n_tasks) if isinstance(value, Rows) else value for name, value in given.items()
    }
    if "probes" in options:
        options["n_probes"] = options.pop("probes")
    if "base" in options:
        options["base"] = _base(options["base"])
    if options.get("methods") == [ALL]:
        options["methods"] = ALL_METHODS
    return run(known, on_progress=_progress_notes(), **options)


def _base(path: Path) -> Any:
    import numpy as np

    from forgetcast.errors import BadDataset

    try:
        return np.load(path, allow_pickle=False)
    except ValueError as error:
        raise BadDataset(f"{shown_name(path)} is no .npy file of numbers: {error}") from error


def _progress_notes() -> Callable[[int, int], None]:
    """Says every few seconds how much is done."""
    last = time.monotonic()

    def tell(done: int, of: int) -> None:
        nonlocal last
        if time.monotonic() - last >= NOTE_EVERY:
            last = time.monotonic()
            note(f"{done} of {of} forecasts of a task by a method are scored")

    return tell


def print_backtest(report: BacktestReport) -> None:
    """Errors and what intervals held, by method; how sure the default's lead is; which tasks carry its error or lag."""
    default = report.methods[report.default]
    left_out = {"families": "whole families left out", "tasks": "tasks left out alone", "rows": "training rows named"}
    say(
        f"{len(default.tasks)} tasks, each forecast from {report.n_probes} probes ({report.design}; baselines always "
        f"random), {report.draws} draws, {left_out.get(report.left_out, report.left_out)}; RMSE in nats per token; "
        f"nominal coverage {report.level:g}\n"
    )
    _print_errors(report)
    _print_coverage(report)
    say(f"\n{recall_sentence(default.recall_5pct, _popularity(report))}")
    _print_replay(report)
    for line in [*_leads(report.default, report.paired), *_carriers(default.tasks), *_lags(report)]:
        say(line)


def _print_errors(report: BacktestReport) -> None:
    headings = ["method", "left out", "RMSE / mean", "90%", "RMSE", "recall 5%", "Spearman"]
    table = [
        (
            name,
            left_out,
            _figure(of.rel, 3),
            f"{_figure(of.rel_low, 3)} to {_figure(of.rel_high, 3)}",
            _figure(of.rmse_common, 4),
            _figure(of.recall_common, 3),
            _figure(of.spearman, 3),
        )
        for name, left_out, of in _lines(report)
    ]
    print_table(headings, table, to_the_right=["RMSE / mean", "RMSE", "recall 5%", "Spearman"])
    say(
        "\nRMSE (and over that of the known rows' mean) and recall of the highest 5%: cells that could not be probed."
        "\nSpearman: whole rows.\n"
    )


def _print_coverage(report: BacktestReport) -> None:
    """Of the methods that give intervals."""
    headings = ["inside", "left out", "cells", "usual", "top 5%", "bias", "domains", "lowest", "row mean", "by probes"]
    table = [
        (
            name,
            left_out,
            _figure(of.coverage_mean, 3),
            _figure(of.coverage_tasks, 2),
            _figure(of.top_coverage, 3),
            "-" if of.top_bias_share is None else f"{100 * of.top_bias_share:+.0f}%",
            _figure(of.domain_coverage, 3),
            _figure(of.domain_coverage_worst, 2),
            _figure(of.row_mean_coverage, 2),
            _figure(of.mean_interval_coverage, 2),
        )
        for name, left_out, of in _lines(report)
        if of.coverage_mean is not None
    ]
    if table:
        print_table(headings, table, to_the_right=headings[2:])
        say(
            "\nShare inside the intervals: of cells (usual: of tasks for which that is 0.80 to 0.97); of the 5% highest"
            "\nforecasts (bias: what the truth lies above them); of the means of domains (lowest: in the lowest tenth"
            "\nof the tasks); of the row mean, by the model and by the random probes (mean_interval)."
        )


def _lines(report: BacktestReport) -> Iterator[tuple[str, str, MethodFigures]]:
    """A line a method, and that of single tasks below it where families were left out too."""
    from forgetcast.completion import DEFAULT_METHOD

    for name, figures in report.methods.items():
        yield (f"{name} (default)" if name == DEFAULT_METHOD else name), report.left_out, figures
        if report.tasks_alone is not None:
            yield "", "tasks", report.tasks_alone[name]


def _print_replay(report: BacktestReport) -> None:
    """What a choice by forecasts is worth, beside simpler ones."""
    if report.replay is None or not any(of.n_tasks for of in report.replay.shares):
        return
    say(
        f"\nWhat replaying the highest forecasts covers: the forgetting of the chosen over that of as many forgotten "
        f"most\n(90% over {report.replay.shares[-1].n_tasks} tasks; cells that could not be probed)"
    )
    headings = ["replayed", report.replay.method, "90%", "popularity", "base loss", "random", "over popularity"]
    table = [
        (
            f"{100 * of.share:.3g}%",
            _covered(of.forecast),
            "-" if of.forecast is None else f"{of.forecast.low:.2f} to {of.forecast.high:.2f}",
            _covered(of.popularity),
            _covered(of.base),
            _covered(of.random),
            "-"
            if of.over_popularity is None
            else f"{of.over_popularity.mean:+.2f} ({of.over_popularity.low:+.2f} to {of.over_popularity.high:+.2f})",
        )
        for of in report.replay.shares
    ]
    print_table(headings, table, to_the_right=headings)


def _covered(covered: Covered | None) -> str:
    return "-" if covered is None else f"{covered.mean:.2f}"


def _leads(default: str, paired: dict[str, PairedRatio]) -> list[str]:
    """The paired ratio of the default's error to every other method's."""
    ratios = [f"  {of.ratio:.3f} ({of.low:.3f} to {of.high:.3f}) of that of {name}" for name, of in paired.items()]
    return [f"\nerror of {default}, task by task (90%)", *ratios, ""] if ratios else []


def _carriers(tasks: Sequence[TaskFigures]) -> list[str]:
    """Tasks that have so much of the squared error that the pooled RMSE is theirs."""
    shares = [(task.task, task.squared_error_share or 0.0) for task in tasks]
    return [
        f"{100 * share:.0f}% of the squared error is that of {task}"
        for task, share in shares
        if share >= LARGE_SHARE and len(tasks) > 1
    ]


def _lags(report: BacktestReport) -> list[str]:
    """Where the default ranks no better than popularity."""
    default = report.default
    if POPULARITY not in report.methods or default == POPULARITY:
        return []
    pairs = [
        (mine.task, mine.spearman, theirs.spearman)
        for mine, theirs in zip(report.methods[default].tasks, report.methods[POPULARITY].tasks, strict=True)
        if mine.spearman is not None and theirs.spearman is not None
    ]
    lost = [(task, mine, theirs) for task, mine, theirs in pairs if mine <= theirs]
    text = f"{default} is better than popularity in Spearman on {len(pairs) - len(lost)} of {len(pairs)} tasks"
    if lost:
        shown = [f"{task} ({mine:.3f}, {theirs:.3f})" for task, mine, theirs in lost[:SHOWN]]
        text += f"; not on {', '.join(shown)}" + (f" and {len(lost) - SHOWN} more" if len(lost) > SHOWN else "")
    return [text]


def _popularity(report: BacktestReport) -> float | None:
    found = report.methods.get(POPULARITY)
    return None if found is None or report.default == POPULARITY else found.recall_5pct


def _figure(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"
