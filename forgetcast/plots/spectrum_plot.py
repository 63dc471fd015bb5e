"""How low the rank of known rows is."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from forgetcast.completion import ForgettingMatrix, analyse
from forgetcast.plots.style import BLUE, GREY, axes_or_new, without_frame


def spectrum(matrix: ForgettingMatrix, *, axes: Axes | None = None) -> Axes:
    """R2 of the known cells by the rank of what describes them, in sample.

    Beside it stand row means plus column means, and, where tasks were measured twice, what noise leaves to explain.
    """
    found = analyse(matrix)
    by_rank = [float("nan") if r2 is None else r2 for r2 in found.r2_by_rank]
    axes = axes_or_new(axes, 6.0, 3.6)
    axes.plot(range(1, len(by_rank) + 1), by_rank, "o-", color=BLUE)
    levels = [(found.r2_additive, "row means + column means", ":")]
    if not found.noise.at_most:
        levels.append((found.noise.r2_ceiling, "all but noise", "--"))
    for level, name, style in levels:
        if level is not None:
            axes.axhline(level, color=GREY, linestyle=style, linewidth=1)
            axes.text(1.0, level, name, color=GREY, transform=axes.get_yaxis_transform(), ha="right", va="bottom")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="rank", ylabel="R2, in sample", ylim=(None, 1.02))
    axes.set_title(f"{matrix.n_tasks} tasks by {matrix.n_examples} examples")
    without_frame(axes)
    return axes
