"""One completed row, with its intervals and what was true."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from forgetcast.completion import CompletedRow
from forgetcast.errors import WrongShape
from forgetcast.plots.style import BLUE, GREY, SKY, VERMILION, axes_or_new, without_frame

SHOWN = 1000  # examples at most, evenly along the row


def row(completed: CompletedRow, truth: Any = None, *, axes: Axes | None = None) -> Axes:
    """Examples by their forecast, the most forgotten to the left: forecast, interval, and what was measured.

    Parameters
    ----------
    truth : what became of the row, where it is known: N numbers in the order of the matrix, or values by example id
        (a dict or a Series). How many lie within their intervals is said above

    Raises
    ------
    WrongShape, UnknownExample
    """
    true = np.full(len(completed), np.nan) if truth is None else _true_values(completed, truth)
    order = np.argsort(-completed.values, kind="stable")
    shown = order[np.unique(np.linspace(0, order.size - 1, min(SHOWN, order.size)).round().astype(np.intp))]
    place = np.empty(order.size)
    place[order] = np.arange(1, order.size + 1)
    axes = axes_or_new(axes, 9.0, 4.2)
    interval = f"{100 * completed.level:g}% interval"
    axes.fill_between(place[shown], completed.low[shown], completed.high[shown], color=SKY, lw=0, label=interval)
    axes.axhline(0.0, color=GREY, linewidth=0.8)
    axes.plot(place[shown], completed.values[shown], color=BLUE, linewidth=1.6, label="forecast")
    _draw_truth(axes, completed, true, place, shown)
    measured = np.flatnonzero(completed.measured)
    label = f"measured ({measured.size})"
    axes.plot(place[measured], completed.values[measured], "s", color="black", markersize=4, label=label)
    axes.set(xlabel="upstream examples by forecast", ylabel="forgetting, nats per token", xlim=(0, order.size + 1))
    axes.set_title(_said(completed, true), fontsize="medium", loc="left")
    axes.legend(frameon=False, loc="upper right")
    without_frame(axes)
    return axes


def _true_values(completed: CompletedRow, truth: Any) -> NDArray[np.float64]:
    """(N,), NaN where the truth is not known"""
    if hasattr(truth, "keys"):
        true = np.full(len(completed), np.nan)
        true[completed.examples.positions(truth.keys())] = [float(value) for _, value in truth.items()]
        return true
    true = np.asarray(truth, dtype=np.float64)
    if true.shape != (len(completed),):
        raise WrongShape(f"The truth has shape {true.shape}; the row has {len(completed)} examples.")
    return true


def _draw_truth(
    axes: Axes, completed: CompletedRow, true: NDArray[np.float64], place: NDArray[np.float64], shown: NDArray[np.intp]
) -> None:
    """Two marks, so that the cells outside their intervals are seen without their colour."""
    predicted = shown[~completed.measured[shown] & ~np.isnan(true[shown])]
    inside = (completed.low[predicted] <= true[predicted]) & (true[predicted] <= completed.high[predicted])
    for cells, mark, colour, size, label in (
        (predicted[inside], ".", GREY, 3, "truth"),
        (predicted[~inside], "x", VERMILION, 5, "truth outside its interval"),
    ):
        if cells.size:
            axes.plot(place[cells], true[cells], mark, color=colour, markersize=size, label=label, zorder=3)


def _said(completed: CompletedRow, true: NDArray[np.float64]) -> str:
    parts = ["unlike all known tasks"] if completed.unlike_known else []
    predicted = ~completed.measured & ~np.isnan(true)
    if predicted.any():
        inside = (completed.low <= true) & (true <= completed.high)
        share = float(inside[predicted].mean())
        parts.append(f"{100 * completed.level:g}% intervals hold {100 * share:.0f}% of {int(predicted.sum())} cells")
    return "; ".join(parts)
