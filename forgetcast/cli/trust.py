"""How far a forecast may be trusted, in sentences: the first thing that is printed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forgetcast.cli.output import printable

if TYPE_CHECKING:
    from forgetcast.schemas import Forecast, Quality

OF = 20  # examples of a list, whose number is said


def trust(forecast: Forecast) -> list[str]:
    """What limits this forecast, what matters most first; then how forecasts of left-out tasks fared."""
    warnings = [f"warning: {printable(warning)}" for warning in forecast.warnings]
    quality = forecast.quality
    if quality is None:
        return [*warnings, f"not back-tested yet (`forgetcast backtest {forecast.matrix}`)"]
    return [*warnings, _fared(quality), recall_sentence(quality.recall_5pct, quality.recall_5pct_popularity)]


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
    how = "with its whole family, " if quality.left_out == "families" else ""
    held = f"90% intervals held {_percent(quality.coverage)} of its cells"
    if quality.top_coverage is not None:
        held += f" and {_percent(quality.top_coverage)} of the 5% highest forecasts"
    return (
        f"a known task that was left out {how}was forecast from {quality.n_probes} probes with Spearman "
        f"{quality.spearman:.2f} (popularity {quality.spearman_popularity:.2f}); {held}"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
