"""How far a forecast may be trusted, in sentences: the first thing that is printed of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from forgetcast.cli.output import print_table, printable, say

if TYPE_CHECKING:
    from forgetcast.schemas import Forecast, Quality, QualityFigures

OF = 20  # examples of a list, whose number is said
FEWEST_TESTED = 3  # known rows that a back-test needs
ENOUGH_ROWS = 12  # known rows from which more are worth having, not worth waiting for


def print_trust(lines: Sequence[str]) -> None:
    """What limits a forecast, a line each."""
    say("\nHow far to trust this")
    for line in lines:
        say(f"  {line}")


def limits(forecast: Forecast) -> list[str]:
    """Warnings, what matters most first; then how forecasts of left-out tasks fared."""
    said = [f"warning: {printable(warning)}" for warning in forecast.warnings]
    said += _of_few(forecast.n_tasks, forecast.matrix)
    quality = forecast.quality
    if quality is not None:
        return [*said, _fared(quality), recall_sentence(quality.recall_5pct, quality.recall_5pct_popularity)]
    if forecast.n_tasks < FEWEST_TESTED:
        return [*said, f"nothing says how good this is: a back-test needs {FEWEST_TESTED} known rows"]
    return [*said, f"not back-tested yet (`forgetcast backtest {forecast.matrix}`)"]


def _of_few(n_tasks: int, matrix: str) -> list[str]:
    """What so few known rows were worth on matrices that have been measured."""
    if n_tasks >= ENOUGH_ROWS:
        return []
    rows = f"{n_tasks} known row{'' if n_tasks == 1 else 's'}"
    return [
        f"{rows}: on two measured matrices forecasts from 6 rows were off by 0.70 and 0.87 of what column means are, "
        f"from 12 by 0.63 and 0.80, from all (32 and 46) by 0.53 and 0.72; `forgetcast seed --matrix {matrix}` "
        "measures more"
    ]


def print_quality(quality: Quality) -> None:
    """The back-test in numbers: families, tasks alone, and popularity, which ranks all tasks alike."""
    say(f"\nKnown tasks left out and forecast from {quality.n_probes} probes; what their 90% intervals held")
    by_popularity = quality.spearman_popularity, quality.recall_5pct_popularity, quality.rmse_popularity
    rows = [
        _figures("with their families" if quality.left_out == "families" else "alone", quality),
        *([_figures("alone", quality.tasks_alone)] if quality.tasks_alone is not None else []),
        ["by popularity", *(f"{figure:.3f}" for figure in by_popularity), "", "", "", ""],
    ]
    headings = ["left out", "Spearman", "recall 5%", "RMSE", "of cells", "of top 5%", "of domains", "of row means"]
    print_table(headings, rows, to_the_right=headings[1:])


def _figures(left_out: str, of: QualityFigures) -> list[str]:
    held = (of.coverage, of.top_coverage, of.domain_coverage, of.row_mean_coverage)
    shares = ["-" if share is None else _percent(share) for share in held]
    return [left_out, f"{of.spearman:.3f}", f"{of.recall_5pct:.3f}", f"{of.rmse:.3f}", *shares]


def recall_sentence(recall: float | None, popularity: float | None) -> str:
    """What recall a reader may expect of a printed list: as both lists are 5% long, what is found is what is right."""
    if recall is None:
        return "how many of a list of the 5% highest forecasts are truly among the 5% forgotten most is not known"
    beside = "" if popularity is None else f" (by popularity {round(OF * popularity)})"
    return (
        f"of {OF} examples on a list of the 5% highest forecasts, about {round(OF * recall)}{beside} are truly among "
        "the 5% forgotten most"
    )


def _fared(quality: Quality) -> str:
    how = (
        " with their whole families" if quality.left_out == "families" else " alone (a task of a new kind fares worse)"
    )
    held = f"90% intervals held {_percent(quality.coverage)} of their cells"
    if quality.top_coverage is not None:
        held += f" and {_percent(quality.top_coverage)} of the 5% highest forecasts"
    return (
        f"known tasks left out{how} were forecast from {quality.n_probes} probes with Spearman {quality.spearman:.2f} "
        f"(popularity {quality.spearman_popularity:.2f}); {held}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
